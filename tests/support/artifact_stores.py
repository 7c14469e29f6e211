"""Stores for tests: in a local folder, and on a real S3 server of the machine's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.artifacts.garbage import Collected
from registry.artifacts.store import Store

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "hunter2secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def new_bucket(endpoint: str) -> str:
    """Make a bucket; gives its name."""
    import boto3

    bucket = f"artifacts-{uuid.uuid4().hex[:12]}"
    boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=S3_ENVIRONMENT["AWS_DEFAULT_REGION"],
    ).create_bucket(Bucket=bucket)
    return bucket


def use_s3(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Point the AWS settings of this process, and of those it starts, at a server."""
    for name, value in {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}.items():
        patch.setenv(name, value)


def collect(store: Store, keep: set[str], *, dry_run: bool, grace_s: float) -> Collected:
    """Remove what no kept artifact needs."""
    return store.sweep(store.survey(keep, grace_s), keep, dry_run)


def problems(store: Store, sha256: str) -> list[str]:
    """What is missing or changed of a stored artifact."""
    return [sentence for _, sentence in store.check([sha256])]


def make_tree(folder: Path, files: dict[str, bytes]) -> Path:
    """A directory with some files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    """The files of a directory."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def overwrite_blob(store: Store, sha256: str, content: bytes) -> None:
    """Change a stored content behind the store's back."""
    if store.url.folder is not None:
        path = Path(store.blobs.where(sha256))
        path.chmod(0o644)
        path.write_bytes(content)
    else:
        store.blobs.files.pipe_file(store.blobs.key(sha256), content)  # type: ignore[attr-defined]
