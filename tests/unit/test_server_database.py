"""Transactions of Prefect's server on SQLite: one that reads before it writes is not refused because another
wrote in between.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

READ_THEN_WRITE = """
import asyncio, sys
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from hallmark.workstation.server_process import begin_with_the_lock

if sys.argv[2] == "ours":
    begin_with_the_lock()

async def main():
    database = AioSqliteConfiguration(connection_url="sqlite+aiosqlite:///" + sys.argv[1])
    engine = await database.engine()

    async def add_one():
        async with await database.session(engine) as session, database.begin_transaction(session):
            [[n]] = await session.execute(sa.text("SELECT n FROM counter"))
            await asyncio.sleep(0.01)  # others have their turn
            await session.execute(sa.text(f"UPDATE counter SET n = {n + 1}"))

    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE counter (n INTEGER)"))
        await connection.execute(sa.text("INSERT INTO counter VALUES (0)"))
    ended = await asyncio.gather(*(add_one() for _ in range(10)), return_exceptions=True)
    async with engine.connect() as connection:
        [[n]] = await connection.execute(sa.text("SELECT n FROM counter"))
    print(sum(isinstance(end, Exception) for end in ended), n)
    await engine.dispose()

asyncio.run(main())
"""


@pytest.mark.parametrize("whose", ["ours", "Prefect's"])
def test_a_transaction_that_reads_first_waits_for_the_other_writer(tmp_path: Path, whose: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_THEN_WRITE, str(tmp_path / "prefect.db"), whose],
        env={**os.environ, "PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failed, count = map(int, done.stdout.split())
    assert failed + count == 10
    if whose == "ours":
        assert failed == 0
    else:  # the day Prefect waits by itself, our change to it can go
        assert failed > 0
