"""The tables of the registry. Rows are ordered by their integer id, never by a clock.

Times are ISO 8601 text in UTC, so that both databases hold, sort and hash the same characters.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    false,
)
from sqlmodel import Field, SQLModel

from registry.columns import ExactText

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Row(SQLModel):
    """Base of all tables: one metadata of our own with named constraints."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)


class Dataset(Row, table=True):
    """One frozen dataset, pinned by the sha256 of its file. A key and version never change their content."""

    __table_args__ = (
        UniqueConstraint("key", "version"),
        CheckConstraint("items > 0", name="items"),
        CheckConstraint("length(sha256) = 64", name="sha256"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    key: str = Field(sa_type=String(64))
    version: str = Field(sa_type=String(16))
    sha256: str = Field(sa_type=String(64))
    items: int
    created_at: str = Field(sa_type=String(32))

    @property
    def name(self) -> str:
        """Key and version: golden-v1."""
        return f"{self.key}-{self.version}"


class Run(Row, table=True):
    """One execution of a model against a dataset by a judge: what was asked for, then its result.

    Attributes:
        model_sha256: tree hash of the weights that were judged; of a trained run known when it is trained.
        inputs_sha256: hash over every input that can change the result; an unfinished run with the same one
            is resumed.
        evaluation_sha256: hash over the weights that were judged and every input that decides their scores;
            null until known.
        predictions_meta: how the predictions were made; null until finished.
        content_sha256: hash over everything recorded at the finish, predictions and metrics included.
        files: name relative to the run's folder -> sha256 of that file at the finish; null for an unfinished
            run, and for one that finished before files were recorded.
    """

    __table_args__ = (
        UniqueConstraint("run_id"),
        CheckConstraint("kind IN ('baseline', 'trained')", name="kind"),
        CheckConstraint("status IN ('running', 'finished', 'failed')", name="status"),
        CheckConstraint("length(inputs_sha256) = 64", name="inputs_sha256"),
        CheckConstraint(
            "status <> 'finished' OR (model_sha256 IS NOT NULL AND predictions_sha256 IS NOT NULL"
            " AND evaluation_sha256 IS NOT NULL AND content_sha256 IS NOT NULL AND finished_at IS NOT NULL"
            " AND error IS NULL)",
            name="finished",
        ),
        CheckConstraint(
            "status <> 'failed' OR (error IS NOT NULL AND finished_at IS NOT NULL)", name="failed"
        ),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    run_id: str = Field(sa_type=String(64))
    kind: str = Field(sa_type=String(16))
    status: str = Field(default="running", sa_type=String(16))
    name: str
    base_model: str = Field(index=True)
    model_sha256: str | None = Field(default=None, sa_type=String(64), index=True)
    parent_model_sha256: str | None = Field(default=None, sa_type=String(64))
    dataset_id: int = Field(foreign_key="dataset.id", index=True)
    judge: str
    judge_fingerprint: str
    inputs_sha256: str = Field(sa_type=String(64), index=True)
    evaluation_sha256: str | None = Field(default=None, sa_type=String(64), index=True)
    predictions_sha256: str | None = Field(default=None, sa_type=String(64))
    predictions_meta: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    content_sha256: str | None = Field(default=None, sa_type=String(64))
    manifest: dict[str, Any] = Field(sa_type=JSON)
    started_at: str = Field(sa_type=String(32), index=True)
    finished_at: str | None = Field(default=None, sa_type=String(32))
    error: str | None = None
    files: dict[str, str] | None = Field(default=None, sa_type=JSON(none_as_null=True))

    @property
    def is_interrupted(self) -> bool:
        """Whether somebody stopped it, and nobody continued it since. One that was killed could not say so;
        see `experiments.runs.current_status`.
        """
        return self.status == "running" and self.error is not None


class Metric(Row, table=True):
    """One aggregate of a finished run's scores with its interval; category "" is the overall value."""

    __table_args__ = (
        UniqueConstraint("run_id", "name", "category"),
        CheckConstraint("n >= 0", name="n"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    name: str
    category: str = ""
    value: float
    n: int
    ci_low: float | None = None
    ci_high: float | None = None
    method: str = ""


class Prediction(Row, table=True):
    """What the model of a finished run wrote for one item, and the score it got for it.

    Attributes:
        prediction: the text; of several samples the first that gives the answer of most of them.
        score: of several samples their mean.
        rung: where in the text the judge found the answer; null where it does not say.
        samples: all samples where there are several: see `registry.rows.PredictionRow`.
    """

    __table_args__ = (
        UniqueConstraint("run_id", "trace_id"),
        UniqueConstraint("run_id", "position"),
        CheckConstraint("score >= 0 AND score <= 1", name="score"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    position: int
    trace_id: str = Field(sa_type=String(128))
    prediction: str = Field(sa_type=ExactText)
    score: float
    extracted: str | None = Field(default=None, sa_type=ExactText)
    reason: str = Field(sa_type=ExactText)
    rung: str | None = Field(default=None, sa_type=ExactText)
    samples: list[dict[str, Any]] | None = Field(default=None, sa_type=JSON(none_as_null=True))

    @property
    def texts(self) -> list[str]:
        """What the model wrote, in one sample or several."""
        return [self.prediction] if self.samples is None else [each["prediction"] for each in self.samples]


class Comparison(Row, table=True):
    """One paired comparison of a candidate run with a baseline run on the same items."""

    __table_args__ = (
        CheckConstraint("p_value >= 0 AND p_value <= 1", name="p_value"),
        CheckConstraint("baseline_run_id <> candidate_run_id", name="two_runs"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    baseline_run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    candidate_run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    delta: float
    p_value: float
    ci_low: float
    ci_high: float
    report: dict[str, Any] = Field(sa_type=JSON)
    created_at: str = Field(sa_type=String(32))


class RegisteredModel(Row, table=True):
    """A name under which model versions are numbered."""

    __tablename__ = "registered_model"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("length(name) <= 64", name="name"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    name: str = Field(sa_type=String(64))
    created_at: str = Field(sa_type=String(32))


class ModelVersion(Row, table=True):
    """One immutable version of a registered model: weights, what they scored, and how they came to be.

    Attributes:
        weights_sha256: tree hash of the weights; their address in the artifact store.
        artifact: where they are, relative to the store.
        metrics: the run's metrics at the time of promotion.
        content_sha256: hash over this row and its run's `content_sha256`.
    """

    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("model", "number"),
        UniqueConstraint("model", "weights_sha256"),
        UniqueConstraint("model", "run_id"),
        CheckConstraint("number > 0", name="number"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    model: str = Field(sa_type=String(64), foreign_key="registered_model.name")
    number: int
    run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    weights_sha256: str = Field(sa_type=String(64))
    artifact: str
    metrics: list[dict[str, Any]] = Field(sa_type=JSON)
    dataset_key: str
    dataset_version: str
    dataset_sha256: str = Field(sa_type=String(64))
    judge: str
    parent_model: str | None = None
    parent_sha256: str | None = Field(default=None, sa_type=String(64))
    manifest: dict[str, Any] = Field(sa_type=JSON)
    content_sha256: str = Field(sa_type=String(64))
    created_at: str = Field(sa_type=String(32))


class Alias(Row, table=True):
    """A movable name, such as champion, that points at one version of a model.

    Attributes:
        protected: it moves only by the gate, by a rollback, or by a forced promotion with its reason.
    """

    __table_args__ = (
        UniqueConstraint("model", "name"),
        ForeignKeyConstraint(["model", "version"], ["model_version.model", "model_version.number"]),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    model: str = Field(sa_type=String(64), foreign_key="registered_model.name")
    name: str = Field(sa_type=String(64))
    version: int
    protected: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class AlphaSpending(Row, table=True):
    """One comparison that the gate decided, and the share of alpha that it spent. No comparison has two rows.

    Attributes:
        model, dataset_sha256: the family whose comparisons share one alpha.
        number: which comparison it is in its family, dense from 1.
        comparison_sha256: hash over what is compared: dataset, judge, and the predictions of both runs.
        level: the level it was tested at when it was first decided.
        significant: whether the test found a gain; if so, the level goes on to the next comparison.
        log_id: the row of the promotion log that decided it first; null where that row did not name it.
    """

    __tablename__ = "alpha_spending"
    __table_args__ = (
        UniqueConstraint("model", "dataset_sha256", "number"),
        UniqueConstraint("model", "dataset_sha256", "comparison_sha256"),
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("level > 0 AND level <= 1", name="level"),
        CheckConstraint("p_value >= 0 AND p_value <= 1", name="p_value"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    model: str = Field(sa_type=String(64), foreign_key="registered_model.name")
    dataset_sha256: str = Field(sa_type=String(64))
    number: int
    comparison_sha256: str = Field(sa_type=String(64))
    opponent_run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    candidate_run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    p_value: float
    level: float
    significant: bool
    created_at: str = Field(sa_type=String(32))
    log_id: int | None = Field(default=None, foreign_key="promotion_log.id")


class Attestation(Row, table=True):
    """Where a model version came from, for others to read: an in-toto statement or its signed envelope."""

    __table_args__ = (
        UniqueConstraint("model", "number"),
        ForeignKeyConstraint(["model", "number"], ["model_version.model", "model_version.number"]),
        CheckConstraint("length(sha256) = 64", name="sha256"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    model: str = Field(sa_type=String(64))
    number: int
    document: dict[str, Any] = Field(sa_type=JSON)
    sha256: str = Field(sa_type=String(64))


class Review(Row, table=True):
    """What a person said of one golden item after looking at answers to it. Append-only: the newest row of an
    item and a reviewer counts.

    Attributes:
        dataset_sha256: of the golden dataset, whatever name it has.
        verdict: see `registry.reviews.VERDICTS`.
        answers: the right answers where the reference is wrong, the new reference first; where both are
            right, those that are to be accepted too.
        note: why.
        runs: ids of the runs whose answers were looked at.
    """

    __table_args__ = (
        Index(None, "dataset_sha256", "trace_id"),
        CheckConstraint("verdict IN ('reference_wrong', 'both_right', 'unclear', 'fine')", name="verdict"),
        CheckConstraint("length(dataset_sha256) = 64", name="dataset_sha256"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    dataset_sha256: str = Field(sa_type=String(64))
    trace_id: str = Field(sa_type=String(128))
    verdict: str = Field(sa_type=String(16))
    answers: list[str] = Field(sa_type=JSON)
    note: str = Field(sa_type=ExactText)
    runs: list[str] = Field(sa_type=JSON)
    reviewer: str
    created_at: str = Field(sa_type=String(32))


class PromotionLog(Row, table=True):
    """One decision about an alias. Append-only; each row hashes the one before.

    Attributes:
        id: dense from 1, so that a missing row shows.
        action: promoted or refused by the gate; forced, against the gate; passed, when the gate agreed and
            promotion was switched off; rolled_back; assigned or removed, for an alias that is not protected;
            protected or unprotected.
        from_version: where the alias pointed; null when nowhere.
        to_version: where it points now; null when the decision moved nothing, or removed the alias.
        version_sha256: `content_sha256` of that version, which ties the version into the chain.
        hash: sha256 over the canonical JSON of all other columns, `previous_hash` included.
    """

    __tablename__ = "promotion_log"
    __table_args__ = (
        UniqueConstraint("hash"),
        CheckConstraint(
            "action IN ('promoted', 'refused', 'forced', 'passed', 'rolled_back', 'assigned', 'removed',"
            " 'protected', 'unprotected')",
            name="action",
        ),
        CheckConstraint(
            "(action IN ('promoted', 'forced', 'rolled_back', 'assigned')) = (to_version IS NOT NULL)",
            name="to_version",
        ),
        CheckConstraint("(to_version IS NULL) = (version_sha256 IS NULL)", name="version_sha256"),
        ForeignKeyConstraint(["model", "from_version"], ["model_version.model", "model_version.number"]),
        ForeignKeyConstraint(["model", "to_version"], ["model_version.model", "model_version.number"]),
    )

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    model: str = Field(sa_type=String(64), foreign_key="registered_model.name")
    alias: str = Field(sa_type=String(64))
    action: str = Field(sa_type=String(16))
    from_version: int | None = None
    to_version: int | None = None
    run_id: str = Field(sa_type=String(64), foreign_key="run.run_id")
    reason: str
    decision: dict[str, Any] = Field(sa_type=JSON)
    actor: str
    version_sha256: str | None = Field(default=None, sa_type=String(64))
    created_at: str = Field(sa_type=String(32))
    previous_hash: str = Field(sa_type=String(64))
    hash: str = Field(sa_type=String(64))


class AuditLog(Row, table=True):
    """One write of a row of another table. Append-only; each entry hashes the one before.

    Metrics and predictions have no entries: their run's `content_sha256` covers them, and the run has one.

    Attributes:
        id: dense from 1, so that a missing entry shows.
        table_name, row_key: which row; see `registry.audit.KEYS`. The newest entry of a row counts.
        row_sha256: hash over the row as it is stored since then; null when it was removed.
        hash: sha256 over the canonical JSON of all other columns, `previous_hash` included.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        UniqueConstraint("hash"),
        Index(None, "table_name", "row_key"),
        CheckConstraint("row_sha256 IS NULL OR length(row_sha256) = 64", name="row_sha256"),
    )

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    table_name: str = Field(sa_type=String(64))
    row_key: str
    row_sha256: str | None = Field(default=None, sa_type=String(64))
    created_at: str = Field(sa_type=String(32))
    previous_hash: str = Field(sa_type=String(64))
    hash: str = Field(sa_type=String(64))
