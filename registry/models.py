"""Registered models: their versions, and every decision about them. Reading only; `promotion` writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import bindparam, func
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from core.errors import InputError, IntegrityError
from core.files import sha256_json
from core.suggestions import did_you_mean
from registry.artifacts.store import Store
from registry.database import Database
from registry.tables import Alias, Attestation, ModelVersion, PromotionLog, RegisteredModel, Run

CHAMPION = "champion"
REFERENCE = re.compile(r"(?P<model>[^@/]+)[@/](?P<which>[^@/]+)")
NUMBER = re.compile(r"v([1-9][0-9]*)", re.ASCII)
LARGEST = 2**63 - 1
"""The largest number that SQLite can look for."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A registered model in a line.

    Attributes:
        champion: number of its champion version; None where there is none.
        versions: how many it has.
    """

    name: str
    champion: int | None
    versions: int


class Models:
    """What may be served, and why.

    Args:
        database: the registry's.
        artifacts: the store that holds the versions' weights.
    """

    def __init__(self, database: Database, artifacts: Store) -> None:
        self.database = database
        self.artifacts = artifacts

    def versions(self, model: str, limit: int | None = None) -> list[ModelVersion]:
        """A model's versions, newest first. Their manifests are not loaded; `get` gives a whole version.

        Raises:
            InputError: there is no such model; lists those there are.

        Example:
            >>> [version.number for version in registry.models.versions("tiny-reasoner")]
            [2, 1]
        """
        found = (
            select(ModelVersion).where(ModelVersion.model == model).order_by(col(ModelVersion.number).desc())
        )
        with self.database.reading() as session:
            require_model(session, model)
            return list(session.exec(found.limit(limit).options(defer(cast(Any, ModelVersion.manifest)))))

    def get(self, reference: str) -> ModelVersion:
        """A version by NAME@ALIAS, NAME@vN or NAME/vN.

        Raises:
            InputError: not of that form, or there is none; lists those there are.
            IntegrityError: the alias points at a version that is not there.

        Example:
            >>> registry.models.get("tiny-reasoner@champion").number
            2
        """
        with self.database.reading() as session:
            return find_version(session, reference)

    def aliased(self, model: str, alias: str = CHAMPION) -> ModelVersion | None:
        """The version that an alias points at; None where the model or the alias does not exist.

        Raises:
            IntegrityError: it points at a version that is not there.

        Example:
            >>> registry.models.aliased("never-promoted") is None
            True
        """
        with self.database.reading() as session:
            return aliased(session, model, alias)

    def directory(self, reference: str) -> tuple[Path, str]:
        """The verified directory of NAME@ALIAS or NAME@vN, and its NAME@vN. Nothing may write to it.

        Raises:
            InputError: there is no such version.
            IntegrityError: its artifact is missing or changed.

        Example:
            >>> path, version = registry.models.directory("tiny-reasoner@champion")
            >>> version
            'tiny-reasoner@v2'
        """
        version = self.get(reference)
        return self.artifacts.get(version.weights_sha256), f"{version.model}@v{version.number}"

    def history(self, model: str, limit: int | None = None) -> list[PromotionLog]:
        """Every decision about a model, oldest first; with a limit only the newest.

        Raises:
            InputError: there is no such model; lists those there are.

        Example:
            >>> decisions = registry.models.history("tiny-reasoner")
            >>> [(row.action, row.to_version) for row in decisions if row.alias == "champion"]
            [('promoted', 1), ('refused', None), ('promoted', 2)]
        """
        found = select(PromotionLog).where(PromotionLog.model == model).order_by(col(PromotionLog.id).desc())
        with self.database.reading() as session:
            require_model(session, model)
            return list(session.exec(found.limit(limit)))[::-1]

    def decisions_about(self, run_id: str) -> list[PromotionLog]:
        """What was decided about a run, of whatever model and alias, oldest first.

        Example:
            >>> [row.action for row in registry.models.decisions_about(run.run_id)]
            []
        """
        found = select(PromotionLog).where(PromotionLog.run_id == run_id).order_by(col(PromotionLog.id))
        with self.database.reading() as session:
            return list(session.exec(found))

    def attestation(self, model: str, number: int) -> dict[str, Any] | None:
        """The in-toto statement of a version, or its signed envelope.

        Returns:
            None for a version that was promoted without one; `provenance.stored_document` makes it.

        Example:
            >>> registry.models.attestation("tiny-reasoner", 2) is None
            True
        """
        found = select(Attestation.document).where(Attestation.model == model, Attestation.number == number)
        with self.database.reading() as session:
            document = session.exec(found).first()
            return None if document is None else dict(document)

    def list(self) -> Sequence[ModelSummary]:
        """All registered models, by name, with their champion and how many versions they have.

        Example:
            >>> registry.models.list()
            [ModelSummary(name='tiny-reasoner', champion=2, versions=2)]
        """
        versions = (
            select(ModelVersion.model, func.count().label("count"))
            .group_by(col(ModelVersion.model))
            .subquery()
        )
        champion = select(Alias.model, Alias.version).where(Alias.name == CHAMPION).subquery()
        found = (
            select(RegisteredModel.name, champion.c.version, func.coalesce(versions.c.count, 0))
            .outerjoin(champion, champion.c.model == RegisteredModel.name)
            .outerjoin(versions, versions.c.model == RegisteredModel.name)
            .order_by(col(RegisteredModel.name))
        )
        with self.database.reading() as session:
            return [ModelSummary(*row) for row in session.exec(found)]


def find_version(session: Session, reference: str) -> ModelVersion:
    """See `Models.get`."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise InputError(
            f"model version {reference[:100]!r}: expected NAME@ALIAS or NAME@vN, as in tiny-reasoner@champion"
        )
    model, which = match["model"], match["which"]
    require_model(session, model)
    number = NUMBER.fullmatch(which)
    version = numbered(session, model, int(number[1])) if number else aliased(session, model, which)
    if version is None:
        raise InputError(
            f"{model}: has no {'version' if number else 'alias'} {which}."
            f"{'' if number else did_you_mean(which, alias_names(session, model))} {_known(session, model)}"
        )
    return version


def require_model(session: Session, model: str) -> None:
    """Raise InputError, listing the registered models, where there is none of this name."""
    if session.exec(select(RegisteredModel).where(RegisteredModel.name == model)).first() is None:
        names = session.exec(select(RegisteredModel.name).order_by(col(RegisteredModel.name))).all()
        there_are = f"Registered: {', '.join(names[:10])}." if names else "Nothing was promoted yet."
        raise InputError(f"model {model[:100]!r}: not registered.{did_you_mean(model, names)} {there_are}")


# Built once; see registry/runs.py.
_ALIASED = (
    select(ModelVersion)
    .join(Alias, (col(Alias.model) == ModelVersion.model) & (col(Alias.version) == ModelVersion.number))
    .where(Alias.model == bindparam("model"), Alias.name == bindparam("alias"))
)


def aliased(session: Session, model: str, alias: str) -> ModelVersion | None:
    """See `Models.aliased`."""
    version = session.exec(_ALIASED, params={"model": model, "alias": alias}).first()
    if version is None:
        row = session.exec(select(Alias).where(Alias.model == model, Alias.name == alias)).first()
        if row is not None:
            raise IntegrityError(
                f"{model}: {alias} points at v{row.version}, which is not there: the registry was changed. "
                "See: hallmark verify"
            )
    return version


def numbered(session: Session, model: str, number: int) -> ModelVersion | None:
    """The version with a number."""
    if number > LARGEST:
        return None
    found = select(ModelVersion).where(ModelVersion.model == model, ModelVersion.number == number)
    return session.exec(found).first()


def version_sha256(version: ModelVersion, run: Run) -> str:
    """The hash over a version's row and its run's content."""
    return sha256_json([version.model_dump(exclude={"id", "content_sha256"}), run.content_sha256])


def alias_names(session: Session, model: str) -> Sequence[str]:
    """The names of a model's aliases."""
    return session.exec(select(Alias.name).where(Alias.model == model).order_by(col(Alias.name))).all()


def _known(session: Session, model: str) -> str:
    newest = (
        select(ModelVersion.number)
        .where(ModelVersion.model == model)
        .order_by(col(ModelVersion.number).desc())
    )
    numbers = session.exec(newest.limit(10)).all()
    aliases = alias_names(session, model)
    return f"There are {', '.join([*aliases[:10], *(f'v{number}' for number in numbers)]) or 'none'}."
