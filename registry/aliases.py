"""Aliases moved by hand: set, removed, protected, rolled back. Every move is in the log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session, col, select

from core.errors import InputError
from core.suggestions import did_you_mean
from registry.artifacts.store import Store
from registry.columns import check_name
from registry.database import Database
from registry.log import append_log, move_alias
from registry.models import CHAMPION, alias_names, aliased, find_version, numbered, require_model
from registry.tables import Alias, ModelVersion, PromotionLog


class Aliases:
    """Moving aliases by hand, where that is allowed.

    Each method that changes something takes the reason and who asked, for the log.

    Args:
        database: the registry's.
        artifacts: the store that holds the versions' weights.
    """

    def __init__(self, database: Database, artifacts: Store) -> None:
        self.database = database
        self.artifacts = artifacts

    def set(self, model: str, alias: str, to_version: int, reason: str, actor: str) -> ModelVersion:
        """Point a new alias, or one that is not protected, at a version, after its artifact was hashed.

        Raises:
            InputError: the alias is protected, its name is not allowed, or there is no such version.
            IntegrityError: the version's artifact is missing or changed.

        Example:
            >>> registry.aliases.set("tiny-reasoner", "staging", 2, "try it out", "ana").number
            2
        """
        check_name(alias, "alias")
        self.database.check_writable()
        with self.database.reading() as session:
            version = find_version(session, f"{model}@v{to_version}")
        self.artifacts.get(version.weights_sha256)
        with self.database.writing() as session:
            _refuse_protected(session, model, alias)
            current = aliased(session, model, alias)
            if current is None or current.number != to_version:
                move_alias(session, model, alias, current, version)
                append_log(session, model, alias, "assigned", current, version, version.run_id, reason, actor)
        return version

    def rollback(
        self, model: str, to_version: int, reason: str, actor: str, alias: str = CHAMPION
    ) -> ModelVersion:
        """Point an alias at an earlier version again, after its artifact was hashed.

        Raises:
            InputError: there is no such model or version, or the alias points at it already.
            IntegrityError: the version's artifact is missing or changed.

        Example:
            >>> registry.aliases.rollback("tiny-reasoner", 1, "too slow", "ana").number
            1
        """
        self.database.check_writable()
        with self.database.reading() as session:
            require_model(session, model)
            version = numbered(session, model, to_version)
        if version is None:
            raise InputError(f"{model}: has no version v{to_version}. See: hallmark models show {model}")
        self.artifacts.get(version.weights_sha256)
        with self.database.writing() as session:
            current = aliased(session, model, alias)
            if current is None:
                raise InputError(f"{model}@{alias}: is not set, so there is nothing to roll back")
            if current.number == to_version:
                raise InputError(f"{model}@{alias}: is v{to_version} already")
            if to_version not in (held := _held(session, model, alias)):
                raise InputError(
                    f"{model}@{alias}: never was v{to_version}, and neither was the champion, so going there "
                    f"is no way back. Either was {', '.join(f'v{number}' for number in sorted(held))}. The "
                    f"gate decides on others: hallmark promote {version.run_id}"
                )
            move_alias(session, model, alias, current, version)
            append_log(session, model, alias, "rolled_back", current, version, version.run_id, reason, actor)
        return version

    def remove(self, model: str, alias: str, reason: str, actor: str) -> None:
        """Remove an alias that is not protected. Its history stays.

        Raises:
            InputError: the alias is protected or does not exist.

        Example:
            >>> registry.aliases.remove("tiny-reasoner", "staging", "tried out", "ana")
            >>> [alias.name for alias in registry.aliases.list("tiny-reasoner")]
            ['champion', 'stable']
        """
        with self.database.writing() as session:
            require_model(session, model)
            _refuse_protected(session, model, alias)
            row, version = _existing(session, model, alias)
            session.delete(row)
            append_log(session, model, alias, "removed", version, None, version.run_id, reason, actor)

    def protect(self, model: str, alias: str, reason: str, actor: str) -> Alias:
        """Protect an alias, so that only the gate, a rollback or a forced promotion moves it.

        Raises:
            InputError: the alias does not exist.

        Example:
            >>> registry.aliases.protect("tiny-reasoner", "stable", "it is served", "ana").protected
            True
        """
        return self._set_protection(model, alias, True, reason, actor)

    def unprotect(self, model: str, alias: str, reason: str, actor: str) -> Alias:
        """End the protection of an alias.

        Raises:
            InputError: the alias does not exist, or it is the champion, which stays protected.

        Example:
            >>> registry.aliases.unprotect("tiny-reasoner", "stable", "no longer served", "ana").protected
            False
        """
        if alias == CHAMPION:
            raise InputError(f"{model}@{alias}: stays protected. Use another alias for what needs no gate.")
        return self._set_protection(model, alias, False, reason, actor)

    def list(self, model: str) -> Sequence[Alias]:
        """A model's aliases, by name.

        Raises:
            InputError: there is no such model; lists those there are.

        Example:
            >>> [(alias.name, alias.version) for alias in registry.aliases.list("tiny-reasoner")]
            [('champion', 2), ('stable', 1), ('staging', 1)]
        """
        with self.database.reading() as session:
            require_model(session, model)
            return session.exec(select(Alias).where(Alias.model == model).order_by(col(Alias.name))).all()

    def _set_protection(self, model: str, alias: str, protected: bool, reason: str, actor: str) -> Alias:
        with self.database.writing() as session:
            require_model(session, model)
            row, version = _existing(session, model, alias)
            if row.protected != protected:
                row.protected = protected
                session.add(row)
                action = "protected" if protected else "unprotected"
                append_log(session, model, alias, action, version, None, version.run_id, reason, actor)
            return row


def _held(session: Session, model: str, alias: str) -> set[int]:
    """The versions that an alias, or the champion's, pointed at once: what the gate let through."""
    moved = select(PromotionLog.to_version).where(
        PromotionLog.model == model, col(PromotionLog.alias).in_({alias, CHAMPION})
    )
    return {number for number in session.exec(moved) if number is not None}


def _refuse_protected(session: Session, model: str, alias: str) -> None:
    row = session.exec(select(Alias).where(Alias.model == model, Alias.name == alias)).first()
    if alias == CHAMPION or (row is not None and row.protected):
        raise InputError(
            f"{model}@{alias}: is protected. It moves by: hallmark promote RUN (the gate decides), "
            "hallmark rollback N --reason TEXT, or hallmark promote RUN --force --reason TEXT."
        )


def _existing(session: Session, model: str, alias: str) -> tuple[Alias, ModelVersion]:
    row = session.exec(select(Alias).where(Alias.model == model, Alias.name == alias)).first()
    version = aliased(session, model, alias)
    if row is None or version is None:
        names = alias_names(session, model)
        there_are = f"There are {', '.join(names[:10]) or 'none'}."
        raise InputError(f"{model}: has no alias {alias[:80]}.{did_you_mean(alias, names)} {there_are}")
    return row, version
