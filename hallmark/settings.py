"""Where things are: settings that change no result, from the environment (prefix HALLMARK_)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Places and addresses.

    Attributes:
        home: folder of runs, artifacts and the SQLite registry.
        registry_url: database of the registry; empty means SQLite in `home`. May hold a password, so it is never recorded.
    """

    model_config = SettingsConfigDict(env_prefix="HALLMARK_", extra="ignore")

    home: Path = Field(Path(".hallmark"), description="folder of runs, artifacts and the SQLite registry")
    registry_url: str | None = Field(None, description="registry database URL; default: SQLite in the home folder", repr=False)

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.home.absolute() / "runs"


def get_settings() -> Settings:
    """The settings as the environment has them now."""
    return Settings()
