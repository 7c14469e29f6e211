"""Several samples of an item."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("prediction", sa.Column("samples", sa.JSON()))
