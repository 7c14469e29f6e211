"""What people said of golden items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_sha256", sa.String(64), nullable=False),
        sa.Column("trace_id", sa.String(128), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("runs", sa.JSON(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review"),
        sa.CheckConstraint(
            "verdict IN ('reference_wrong', 'both_right', 'unclear', 'fine')",
            name=op.f("ck_review_verdict"),
        ),
        sa.CheckConstraint("length(dataset_sha256) = 64", name=op.f("ck_review_dataset_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_review_dataset_sha256_trace_id", "review", ["dataset_sha256", "trace_id"])
    _freeze()


def _freeze() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER review_no_{change.lower()} BEFORE {change} ON review "
                "BEGIN SELECT RAISE(ABORT, 'review rows are immutable'); END"
            )
        return
    op.execute(
        "CREATE TRIGGER review_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON review "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
