"""The audit log, the files of runs instead of their place, the decision behind each share of alpha; more
immutable rows.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from registry.audit import adopt

revision = "0004"
down_revision = "0003"

IMMUTABLE = (
    "dataset",
    "metric",
    "prediction",
    "comparison",
    "registered_model",
    "alpha_spending",
    "audit_log",
)
"""Tables whose triggers are made here; the others have theirs. Those of alpha_spending are made again."""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("run", sa.Column("files", sa.JSON()))
    op.drop_column("run", "directory")  # a run's folder is in the home; this one was lost when the home moved
    _audit_log()
    for change in ("_no_update", "_no_delete") if sqlite else ("_no_change",):
        op.execute(f"DROP TRIGGER alpha_spending{change}" + ("" if sqlite else " ON alpha_spending"))
    _log_id(sqlite)
    (_freeze_sqlite if sqlite else _freeze_postgresql)()
    adopt(op.get_bind())


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("table_name", sa.String(64), nullable=False),
        sa.Column("row_key", sa.String(), nullable=False),
        sa.Column("row_sha256", sa.String(64)),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        sa.UniqueConstraint("hash", name="uq_audit_log_hash"),
        sa.CheckConstraint(
            "row_sha256 IS NULL OR length(row_sha256) = 64", name=op.f("ck_audit_log_row_sha256")
        ),
    )
    op.create_index("ix_audit_log_table_name_row_key", "audit_log", ["table_name", "row_key"])


def _log_id(sqlite: bool) -> None:
    """Each share of alpha gets the first decision that names it."""
    name = "fk_alpha_spending_log_id"
    if sqlite:  # Alembic adds no constraint there
        op.execute(
            "ALTER TABLE alpha_spending ADD COLUMN log_id INTEGER "
            f"CONSTRAINT {name} REFERENCES promotion_log (id)"
        )
    else:
        op.add_column("alpha_spending", sa.Column("log_id", sa.Integer()))
        op.create_foreign_key(name, "alpha_spending", "promotion_log", ["log_id"], ["id"])
    decided: dict[tuple[str, object], int] = {}
    log = sa.text("SELECT id, model, CAST(decision AS TEXT) FROM promotion_log ORDER BY id")
    for number, model, decision in op.get_bind().execute(log):
        decided.setdefault((model, _comparison(decision)), number)
    rows = sa.text("SELECT id, model, comparison_sha256 FROM alpha_spending ORDER BY id")
    change = sa.text("UPDATE alpha_spending SET log_id = :log_id WHERE id = :id")
    for number, *about in op.get_bind().execute(rows).all():
        op.get_bind().execute(change, {"id": number, "log_id": decided.get(tuple(about))})


def _comparison(decision: str) -> object:
    """Which comparison a decision was about; None where it does not say so, or was damaged."""
    try:
        return json.loads(decision).get("comparison_sha256")
    except (ValueError, AttributeError):
        return None


def _freeze_sqlite() -> None:
    for table in IMMUTABLE:
        for change in ("UPDATE", "DELETE"):
            _trigger_sqlite(table, change)
    _trigger_sqlite("run", "UPDATE", "WHEN OLD.status = 'finished' ")
    _trigger_sqlite("run", "DELETE")


def _trigger_sqlite(table: str, change: str, when: str = "") -> None:
    op.execute(
        f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} {when}"
        f"BEGIN SELECT RAISE(ABORT, '{table} rows are immutable'); END"
    )


def _freeze_postgresql() -> None:
    for table in IMMUTABLE:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(
        "CREATE TRIGGER run_no_update BEFORE UPDATE ON run "
        "FOR EACH ROW WHEN (OLD.status = 'finished') EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER run_no_delete BEFORE DELETE OR TRUNCATE ON run "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
