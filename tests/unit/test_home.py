"""The home is its owner's: whatever makes it first, and whatever the umask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import ResourceError
from core.files import make_home
from experiments.workspace import open_workspace
from hallmark.workstation.prefect_environment import kept_sign_in, own_temporary_folder, server_environment
from hallmark.workstation.services import WORKER
from registry import upgrade
from tests.conftest import CommandLine

pytestmark = pytest.mark.unit

BIN = Path(sys.executable).parent


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def free_for_all() -> Iterator[None]:
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


def in_the_background(home: Path) -> None:
    WORKER.start(home, ["--version"], dict(os.environ)).wait(60)


def in_the_foreground(home: Path) -> None:
    run_python(
        f"""if True:
        import os
        from pathlib import Path
        from hallmark.workstation.services import SERVER
        SERVER.become(Path({str(home)!r}), "python", ["-c", ""], dict(os.environ))
        """
    )


def run_python(program: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=120, env={**os.environ, **environment}
    )


WAYS: dict[str, Callable[[Path], object]] = {
    "a flow opens its workspace": lambda _: open_workspace().registry.close(),
    "registry upgrade": upgrade,
    "the sign-in is made": kept_sign_in,
    "a temporary folder is made": own_temporary_folder,
    "hallmark server": lambda home: server_environment(home, "127.0.0.1", 4300, {}),
    "hallmark up": in_the_background,
    "hallmark worker": in_the_foreground,
    "Prefect is started from the command line": lambda _: run_python(
        "from contextlib import suppress\nfrom core.errors import ResourceError\n"
        "from hallmark.workstation.ready import prefect_ready\n"
        "with suppress(ResourceError), prefect_ready(): pass",
        PREFECT_API_URL="http://127.0.0.1:1/api",
    ),
    "hallmark doctor": lambda _: subprocess.run(
        [BIN / "hallmark", "doctor"], check=True, capture_output=True, timeout=120
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("free_for_all")
def test_the_home_is_its_owner_s_however_it_comes_to_be(home: Path, way: str) -> None:
    WAYS[way](home)
    assert permissions(home) == 0o700


def test_no_umask_takes_it_from_its_owner(tmp_path: Path, umask: int) -> None:
    make_home(tmp_path / "home")
    assert permissions(tmp_path / "home") == 0o700


def test_a_home_that_is_shared_stays_so_and_doctor_says_how_to_close_it(
    home: Path, hallmark: CommandLine
) -> None:
    home.mkdir()
    for mode, readers in ((0o755, "every user of this machine"), (0o2770, "its group")):
        home.chmod(mode)
        open_workspace().registry.close()
        done = hallmark("doctor")
        assert done.returncode == 0, done.stdout
        assert f"open to {readers}" in done.stdout
        assert f"chmod 700 {home}" in done.stdout
        assert home.stat().st_mode & 0o7777 == mode
    home.chmod(0o700)
    assert "chmod" not in hallmark("doctor").stdout


def test_a_file_in_the_place_of_the_home_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ResourceError, match="home: File exists"):
        make_home(tmp_path / "home")
