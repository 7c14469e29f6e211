"""Where in its text each answer was found; indexes for what runs are looked for by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

LOOKED_FOR_BY = ("base_model", "dataset_id", "started_at")


def upgrade() -> None:
    op.add_column("prediction", sa.Column("rung", sa.Text()))
    for column in LOOKED_FOR_BY:
        op.create_index(f"ix_run_{column}", "run", [column])
