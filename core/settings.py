"""Where things are: settings that change no result, from the environment (prefix HALLMARK_)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Places and addresses. Those that may hold a password or a token are never recorded nor printed."""

    model_config = SettingsConfigDict(env_prefix="HALLMARK_", extra="ignore")

    home: Path = Field(
        default=Path(".hallmark"),
        description="Folder of runs, artifacts and their checkouts, the SQLite registry, Prefect's state and "
        "the services' files; created for its owner only.",
    )
    registry_url: str | None = Field(
        default=None,
        description="URL of the registry's database; a secret if it holds a password. "
        "Default: SQLite in the home folder.",
        repr=False,
    )
    artifacts: str | None = Field(
        default=None,
        description="Folder of the artifacts, s3://BUCKET/PREFIX, or another fsspec URL. "
        "Default: artifacts in the home folder.",
        repr=False,
    )
    locks: Path | None = Field(
        default=None,
        description="Folder of the GPUs' locks, one for all who share the GPUs. "
        "Default: /tmp/hallmark-locks.",
    )
    exclusive: Literal["gpu", "always"] = Field(
        default="gpu", description="What waits for its turn: work on a GPU, or (always) work on the CPU too."
    )
    vllm_python: Path | None = Field(
        default=None,
        description="Python of the environment that runs the engine vllm. "
        "Default: that of .venv-vllm, which `make vllm` makes, else Hallmark's own where it has vllm.",
    )
    notify_url: str | None = Field(
        default=None,
        description="Webhook that automations post messages to: promotions, rollbacks, refusals, failures. "
        "A secret.",
        repr=False,
    )
    signing_key: Path | None = Field(
        default=None,
        description="Private key (PEM, Ed25519) that signs the statements of model versions, and the heads "
        "of the log that `verify --write-head` keeps.",
    )
    signing_key_password: str | None = Field(
        default=None, description="Password of the signing key. A secret.", repr=False
    )

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.home.absolute() / "runs"


def get_settings() -> Settings:
    """The settings as the environment has them now."""
    return Settings()
