"""Where things are: settings that change no result, from the environment (prefix HALLMARK_)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Places and addresses.

    Attributes:
        home: folder of runs, artifacts and the SQLite registry.
        registry_url: database of the registry; None is SQLite in `home`. May hold a password, so it is never
            recorded.
        artifacts: folder or fsspec URL of the artifacts; None is `artifacts` in `home`. A password in
            it is never recorded.
        locks: folder of the GPUs' locks; None is one in the machine's temporary folder.
        exclusive: "gpu": work on a GPU waits for its turn; "always": work on the CPU too.
        notify_url: address that automations post their messages to. May hold a token, so it is never
            recorded.
        signing_key: private key (PEM, Ed25519) that signs the statement of a promoted version.
        signing_key_password: password of that key; a secret.
    """

    model_config = SettingsConfigDict(env_prefix="HALLMARK_", extra="ignore")

    home: Path = Field(Path(".hallmark"), description="folder of runs, artifacts and the SQLite registry")
    registry_url: str | None = Field(
        None, description="registry database URL; default: SQLite in the home folder", repr=False
    )
    artifacts: str | None = Field(
        None, description="folder or URL of the artifacts; default: artifacts in the home folder", repr=False
    )
    locks: Path | None = Field(None, description="folder of the GPUs' locks")
    exclusive: Literal["gpu", "always"] = Field("gpu", description="what waits for its turn")
    notify_url: str | None = Field(
        None, description="webhook for messages about promotions, refusals and failures", repr=False
    )
    signing_key: Path | None = Field(
        None, description="private key that signs the statements of model versions (PEM, Ed25519)"
    )
    signing_key_password: str | None = Field(None, description="password of the signing key", repr=False)

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.home.absolute() / "runs"


def get_settings() -> Settings:
    """The settings as the environment has them now."""
    return Settings()
