"""Registered models: their versions, aliases, and the log of every decision. Reading only; `promotion` writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import bindparam, func
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from core.errors import InputError
from registry.database import Database
from registry.tables import Alias, Attestation, ModelVersion, PromotionLog, RegisteredModel

CHAMPION = "champion"
REFERENCE = re.compile(r"(?P<model>[^@/]+)[@/](?P<which>[^@/]+)")
NUMBER = re.compile(r"v([1-9][0-9]*)", re.ASCII)


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
    """What may be served, and why."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def list_models(self) -> list[ModelSummary]:
        """All registered models, by name, with their champion and how many versions they have."""
        versions = select(ModelVersion.model, func.count().label("count")).group_by(col(ModelVersion.model)).subquery()
        champion = select(Alias.model, Alias.version).where(Alias.name == CHAMPION).subquery()
        found = (
            select(RegisteredModel.name, champion.c.version, func.coalesce(versions.c.count, 0))
            .outerjoin(champion, champion.c.model == RegisteredModel.name)
            .outerjoin(versions, versions.c.model == RegisteredModel.name)
            .order_by(col(RegisteredModel.name))
        )
        with self.database.reading() as session:
            return [ModelSummary(*row) for row in session.exec(found)]

    def list_versions(self, model: str, limit: int | None = None) -> list[ModelVersion]:
        """A model's versions, newest first. Their manifests are not loaded; `get_version` gives one with everything.

        Raises:
            InputError: there is no such model; lists those there are.
        """
        with self.database.reading() as session:
            require_model(session, model)
            found = select(ModelVersion).where(ModelVersion.model == model).order_by(col(ModelVersion.number).desc()).limit(limit)
            return list(session.exec(found.options(defer(cast(Any, ModelVersion.manifest)))))

    def history(self, model: str, limit: int | None = None) -> list[PromotionLog]:
        """Every decision about a model, oldest first; with a limit the newest so many.

        Raises:
            InputError: there is no such model; lists those there are.
        """
        with self.database.reading() as session:
            require_model(session, model)
            found = select(PromotionLog).where(PromotionLog.model == model).order_by(col(PromotionLog.id).desc()).limit(limit)
            return list(session.exec(found))[::-1]

    def champion(self, model: str, alias: str = CHAMPION) -> ModelVersion | None:
        """The version that an alias points at; None where the model or the alias does not exist."""
        with self.database.reading() as session:
            return aliased(session, model, alias)

    def get_version(self, reference: str) -> ModelVersion:
        """A version by NAME@ALIAS, NAME@vN or NAME/vN.

        Raises:
            InputError: not of that form, or there is none; lists those there are.
        """
        with self.database.reading() as session:
            return find_version(session, reference)

    def attestation(self, model: str, number: int) -> dict[str, Any] | None:
        """The in-toto statement of a version, or its signed envelope; None for a version that was made before there were any."""
        found = select(Attestation.document).where(Attestation.model == model, Attestation.number == number)
        with self.database.reading() as session:
            document = session.exec(found).first()
            return None if document is None else dict(document)


def find_version(session: Session, reference: str) -> ModelVersion:
    """See `Models.get_version`."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise InputError(f"model version {reference[:100]!r}: expected NAME@ALIAS or NAME@vN, as in tiny-reasoner@champion")
    model, which = match["model"], match["which"]
    require_model(session, model)
    number = NUMBER.fullmatch(which)
    version = numbered(session, model, int(number[1])) if number else aliased(session, model, which)
    if version is None:
        raise InputError(f"{model}: has no {'version' if number else 'alias'} {which}. {_known(session, model)}")
    return version


def require_model(session: Session, model: str) -> None:
    """Raises InputError, listing the registered models, where there is none of this name."""
    if session.exec(select(RegisteredModel).where(RegisteredModel.name == model)).first() is None:
        names = session.exec(select(RegisteredModel.name).order_by(col(RegisteredModel.name)).limit(10)).all()
        raise InputError(
            f"model {model[:100]!r}: not registered. " + (f"Registered: {', '.join(names)}." if names else "Nothing was promoted yet.")
        )


_ALIASED = (
    select(ModelVersion)
    .join(Alias, (col(Alias.model) == ModelVersion.model) & (col(Alias.version) == ModelVersion.number))
    .where(Alias.model == bindparam("model"), Alias.name == bindparam("alias"))
)


def aliased(session: Session, model: str, alias: str) -> ModelVersion | None:
    """The version that an alias points at."""
    return session.exec(_ALIASED, params={"model": model, "alias": alias}).first()


def numbered(session: Session, model: str, number: int) -> ModelVersion | None:
    """The version with a number."""
    return session.exec(select(ModelVersion).where(ModelVersion.model == model, ModelVersion.number == number)).first()


def _known(session: Session, model: str) -> str:
    numbers = session.exec(
        select(ModelVersion.number).where(ModelVersion.model == model).order_by(col(ModelVersion.number).desc()).limit(10)
    ).all()
    aliases = session.exec(select(Alias.name).where(Alias.model == model).order_by(col(Alias.name)).limit(10)).all()
    return f"There are {', '.join([*aliases, *(f'v{number}' for number in numbers)]) or 'none'}."
