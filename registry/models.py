"""Registered models: their versions, aliases, and the log of every decision. Reading only; `promotion` writes."""

from __future__ import annotations

import re

from sqlmodel import Session, col, select

from hallmark.errors import InputError
from registry.engine import Database
from registry.tables import Alias, ModelVersion, PromotionLog, RegisteredModel

CHAMPION = "champion"
REFERENCE = re.compile(r"(?P<model>[^@/]+)[@/](?P<which>[^@/]+)")
NUMBER = re.compile(r"v([1-9][0-9]*)", re.ASCII)


class Models:
    """What may be served, and why."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def list_models(self) -> list[RegisteredModel]:
        """All registered models, by name."""
        with self.database.reading() as session:
            return list(session.exec(select(RegisteredModel).order_by(col(RegisteredModel.name))))

    def list_versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, newest first.

        Raises:
            InputError: there is no such model; lists those there are.
        """
        with self.database.reading() as session:
            require_model(session, model)
            found = select(ModelVersion).where(ModelVersion.model == model).order_by(col(ModelVersion.number).desc())
            return list(session.exec(found))

    def history(self, model: str) -> list[PromotionLog]:
        """Every decision about a model, oldest first.

        Raises:
            InputError: there is no such model; lists those there are.
        """
        with self.database.reading() as session:
            require_model(session, model)
            return list(session.exec(select(PromotionLog).where(PromotionLog.model == model).order_by(col(PromotionLog.id))))

    def champion(self, model: str, alias: str = CHAMPION) -> ModelVersion | None:
        """The version that an alias points at; None where the model or the alias does not exist."""
        with self.database.reading() as session:
            return aliased(session, model, alias)

    def get_version(self, reference: str) -> ModelVersion:
        """A version by NAME@ALIAS, NAME@vN or NAME/vN.

        Raises:
            InputError: not of that form, or there is none; lists those there are.
        """
        match = REFERENCE.fullmatch(reference)
        if match is None:
            raise InputError(f"model version {reference[:100]!r}: expected NAME@ALIAS or NAME@vN, as in tiny-reasoner@champion")
        model, which = match["model"], match["which"]
        with self.database.reading() as session:
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


def aliased(session: Session, model: str, alias: str) -> ModelVersion | None:
    """The version that an alias points at."""
    found = (
        select(ModelVersion)
        .join(Alias, (col(Alias.model) == ModelVersion.model) & (col(Alias.version) == ModelVersion.number))
        .where(Alias.model == model, Alias.name == alias)
    )
    return session.exec(found).first()


def numbered(session: Session, model: str, number: int) -> ModelVersion | None:
    """The version with a number."""
    return session.exec(select(ModelVersion).where(ModelVersion.model == model, ModelVersion.number == number)).first()


def _known(session: Session, model: str) -> str:
    numbers = session.exec(
        select(ModelVersion.number).where(ModelVersion.model == model).order_by(col(ModelVersion.number).desc()).limit(10)
    ).all()
    aliases = session.exec(select(Alias.name).where(Alias.model == model).order_by(col(Alias.name)).limit(10)).all()
    return f"There are {', '.join([*aliases, *(f'v{number}' for number in numbers)]) or 'none'}."
