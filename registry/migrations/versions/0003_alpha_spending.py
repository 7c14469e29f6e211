"""Alpha spending, attestations, protected aliases, and the decisions about them in the promotion log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

IMMUTABLE = ("alpha_spending", "attestation")
ACTIONS = (
    "action IN ('promoted', 'refused', 'forced', 'passed', 'rolled_back', 'assigned', 'removed',"
    " 'protected', 'unprotected')"
)
MOVES = "(action IN ('promoted', 'forced', 'rolled_back', 'assigned')) = (to_version IS NOT NULL)"


def upgrade() -> None:
    op.create_index("ix_run_model_sha256", "run", ["model_sha256"])
    op.add_column("alias", sa.Column("protected", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(
        sa.text("UPDATE alias SET protected = :yes WHERE name = 'champion'").bindparams(
            sa.bindparam("yes", True, sa.Boolean())
        )
    )
    _alpha_spending()
    _attestation()
    if op.get_bind().dialect.name == "sqlite":
        _log_sqlite()
        for table in IMMUTABLE:
            _freeze_sqlite(table)
        return
    for name, condition in (("action", ACTIONS), ("to_version", MOVES)):
        op.drop_constraint(op.f(f"ck_promotion_log_{name}"), "promotion_log")
        op.create_check_constraint(op.f(f"ck_promotion_log_{name}"), "promotion_log", condition)
    for table in IMMUTABLE:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _alpha_spending() -> None:
    op.create_table(
        "alpha_spending",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("dataset_sha256", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("comparison_sha256", sa.String(64), nullable=False),
        sa.Column("opponent_run_id", sa.String(64), nullable=False),
        sa.Column("candidate_run_id", sa.String(64), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("significant", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alpha_spending"),
        sa.UniqueConstraint(
            "model", "dataset_sha256", "number", name="uq_alpha_spending_model_dataset_sha256_number"
        ),
        sa.UniqueConstraint(
            "model",
            "dataset_sha256",
            "comparison_sha256",
            name="uq_alpha_spending_model_dataset_sha256_comparison_sha256",
        ),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name="fk_alpha_spending_model"),
        sa.ForeignKeyConstraint(
            ["opponent_run_id"], ["run.run_id"], name="fk_alpha_spending_opponent_run_id"
        ),
        sa.ForeignKeyConstraint(
            ["candidate_run_id"], ["run.run_id"], name="fk_alpha_spending_candidate_run_id"
        ),
        sa.CheckConstraint("number > 0", name=op.f("ck_alpha_spending_number")),
        sa.CheckConstraint("level > 0 AND level <= 1", name=op.f("ck_alpha_spending_level")),
        sa.CheckConstraint("p_value >= 0 AND p_value <= 1", name=op.f("ck_alpha_spending_p_value")),
        sqlite_autoincrement=True,
    )


def _attestation() -> None:
    op.create_table(
        "attestation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attestation"),
        sa.UniqueConstraint("model", "number", name="uq_attestation_model_number"),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["model_version.model", "model_version.number"],
            name="fk_attestation_model_number",
        ),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_attestation_sha256")),
        sqlite_autoincrement=True,
    )


def _log_sqlite() -> None:
    """SQLite cannot change a constraint: the log is copied, byte by byte, into a table with the new ones."""
    op.rename_table("promotion_log", "promotion_log_0002")
    op.create_table(
        "promotion_log",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("from_version", sa.Integer()),
        sa.Column("to_version", sa.Integer()),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("version_sha256", sa.String(64)),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_promotion_log"),
        sa.UniqueConstraint("hash", name="uq_promotion_log_hash"),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name="fk_promotion_log_model"),
        sa.ForeignKeyConstraint(["run_id"], ["run.run_id"], name="fk_promotion_log_run_id"),
        sa.ForeignKeyConstraint(
            ["model", "from_version"],
            ["model_version.model", "model_version.number"],
            name="fk_promotion_log_model_from_version",
        ),
        sa.ForeignKeyConstraint(
            ["model", "to_version"],
            ["model_version.model", "model_version.number"],
            name="fk_promotion_log_model_to_version",
        ),
        sa.CheckConstraint(ACTIONS, name=op.f("ck_promotion_log_action")),
        sa.CheckConstraint(MOVES, name=op.f("ck_promotion_log_to_version")),
        sa.CheckConstraint(
            "(to_version IS NULL) = (version_sha256 IS NULL)", name=op.f("ck_promotion_log_version_sha256")
        ),
    )
    op.execute("INSERT INTO promotion_log SELECT * FROM promotion_log_0002")
    op.drop_table("promotion_log_0002")  # takes the triggers with it
    _freeze_sqlite("promotion_log")


def _freeze_sqlite(table: str) -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} rows are immutable'); END"
        )
