"""All tables of the first registry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "dataset",
        _id(),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dataset"),
        sa.UniqueConstraint("key", "version", name="uq_dataset_key_version"),
        sa.CheckConstraint("items > 0", name=op.f("ck_dataset_items")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_dataset_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "run",
        _id(),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("model_sha256", sa.String(64)),
        sa.Column("parent_model_sha256", sa.String(64)),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("judge", sa.String(), nullable=False),
        sa.Column("judge_fingerprint", sa.String(), nullable=False),
        sa.Column("inputs_sha256", sa.String(64), nullable=False),
        sa.Column("evaluation_sha256", sa.String(64)),
        sa.Column("predictions_sha256", sa.String(64)),
        sa.Column("predictions_meta", sa.JSON()),
        sa.Column("content_sha256", sa.String(64)),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("directory", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32)),
        sa.Column("error", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint("run_id", name="uq_run_run_id"),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_run_dataset_id"),
        sa.CheckConstraint("kind IN ('baseline', 'trained')", name=op.f("ck_run_kind")),
        sa.CheckConstraint("status IN ('running', 'finished', 'failed')", name=op.f("ck_run_status")),
        sa.CheckConstraint("length(inputs_sha256) = 64", name=op.f("ck_run_inputs_sha256")),
        sa.CheckConstraint(
            "status <> 'finished' OR (model_sha256 IS NOT NULL AND predictions_sha256 IS NOT NULL"
            " AND evaluation_sha256 IS NOT NULL AND content_sha256 IS NOT NULL AND finished_at IS NOT NULL"
            " AND error IS NULL)",
            name=op.f("ck_run_finished"),
        ),
        sa.CheckConstraint(
            "status <> 'failed' OR (error IS NOT NULL AND finished_at IS NOT NULL)",
            name=op.f("ck_run_failed"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_inputs_sha256", "run", ["inputs_sha256"])
    op.create_index("ix_run_evaluation_sha256", "run", ["evaluation_sha256"])
    op.create_table(
        "metric",
        _id(),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("ci_low", sa.Float()),
        sa.Column("ci_high", sa.Float()),
        sa.Column("method", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_metric"),
        sa.UniqueConstraint("run_id", "name", "category", name="uq_metric_run_id_name_category"),
        sa.ForeignKeyConstraint(["run_id"], ["run.run_id"], name="fk_metric_run_id"),
        sa.CheckConstraint("n >= 0", name=op.f("ck_metric_n")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "prediction",
        _id(),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("trace_id", sa.String(128), nullable=False),
        sa.Column("prediction", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("extracted", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prediction"),
        sa.UniqueConstraint("run_id", "trace_id", name="uq_prediction_run_id_trace_id"),
        sa.UniqueConstraint("run_id", "position", name="uq_prediction_run_id_position"),
        sa.ForeignKeyConstraint(["run_id"], ["run.run_id"], name="fk_prediction_run_id"),
        sa.CheckConstraint("score >= 0 AND score <= 1", name=op.f("ck_prediction_score")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "comparison",
        _id(),
        sa.Column("baseline_run_id", sa.String(64), nullable=False),
        sa.Column("candidate_run_id", sa.String(64), nullable=False),
        sa.Column("delta", sa.Float(), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=False),
        sa.Column("ci_low", sa.Float(), nullable=False),
        sa.Column("ci_high", sa.Float(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comparison"),
        sa.ForeignKeyConstraint(["baseline_run_id"], ["run.run_id"], name="fk_comparison_baseline_run_id"),
        sa.ForeignKeyConstraint(["candidate_run_id"], ["run.run_id"], name="fk_comparison_candidate_run_id"),
        sa.CheckConstraint("p_value >= 0 AND p_value <= 1", name=op.f("ck_comparison_p_value")),
        sa.CheckConstraint("baseline_run_id <> candidate_run_id", name=op.f("ck_comparison_two_runs")),
        sqlite_autoincrement=True,
    )
    _models()


def _models() -> None:
    op.create_table(
        "registered_model",
        _id(),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registered_model"),
        sa.UniqueConstraint("name", name="uq_registered_model_name"),
        sa.CheckConstraint("length(name) <= 64", name=op.f("ck_registered_model_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "model_version",
        _id(),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("dataset_key", sa.String(), nullable=False),
        sa.Column("dataset_version", sa.String(), nullable=False),
        sa.Column("dataset_sha256", sa.String(64), nullable=False),
        sa.Column("judge", sa.String(), nullable=False),
        sa.Column("parent_model", sa.String()),
        sa.Column("parent_sha256", sa.String(64)),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_version"),
        sa.UniqueConstraint("model", "number", name="uq_model_version_model_number"),
        sa.UniqueConstraint("model", "weights_sha256", name="uq_model_version_model_weights_sha256"),
        sa.UniqueConstraint("model", "run_id", name="uq_model_version_model_run_id"),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name="fk_model_version_model"),
        sa.ForeignKeyConstraint(["run_id"], ["run.run_id"], name="fk_model_version_run_id"),
        sa.CheckConstraint("number > 0", name=op.f("ck_model_version_number")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "alias",
        _id(),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alias"),
        sa.UniqueConstraint("model", "name", name="uq_alias_model_name"),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], name="fk_alias_model"),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_version.model", "model_version.number"],
            name="fk_alias_model_version",
        ),
        sqlite_autoincrement=True,
    )
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
        sa.CheckConstraint(
            "action IN ('promoted', 'refused', 'forced', 'rolled_back')", name=op.f("ck_promotion_log_action")
        ),
        sa.CheckConstraint(
            "(action = 'refused') = (to_version IS NULL)", name=op.f("ck_promotion_log_to_version")
        ),
        sa.CheckConstraint(
            "(to_version IS NULL) = (version_sha256 IS NULL)", name=op.f("ck_promotion_log_version_sha256")
        ),
    )
