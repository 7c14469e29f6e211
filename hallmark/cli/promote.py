"""`hallmark promote`: the gate asked about a recorded run."""

from __future__ import annotations

from typing import Annotated

import typer

from core.errors import InputError
from evaluation.gate import GateConfig
from experiments.config import ExperimentConfig, nested
from hallmark import api
from hallmark.cli.completing import completes, run_ids
from hallmark.cli.options import SuiteFile, option
from hallmark.cli.terminal import Alias, Json, RunId, emit


def promote(
    run: RunId,
    model_name: Annotated[str | None, option(ExperimentConfig, "model_name", "--model-name", "-n")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Run to compare with. \\[default: the champion's, else the base model's]",
            autocompletion=completes(run_ids),
        ),
    ] = None,
    alpha: Annotated[float | None, option(GateConfig, "alpha", "--alpha")] = None,
    suite: SuiteFile = None,
    alias: Alias = "champion",
    force: Annotated[
        bool,
        typer.Option("--force", help="Promote even if the gate refuses; needs --reason, and is recorded."),
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why the gate is overridden.")] = None,
    fail_unless_promoted: Annotated[
        bool, typer.Option("--fail-unless-promoted", help="Exit with 5 when the gate says no.")
    ] = False,
    json: Json = False,
) -> None:
    """Ask the gate about a recorded run, and make it champion when the gate agrees."""
    from hallmark.cli.show.result import show_promotion

    if force != bool(reason):
        raise InputError("--force and --reason go together: overriding the gate is recorded with its reason")
    promotion = api.promote(
        run,
        model_name,
        against=against,
        gate=nested({"alpha": alpha}),
        suite=suite,
        alias=alias,
        force_reason=reason,
    )
    if json:
        emit(promotion.model_dump(mode="json"))
    else:
        show_promotion(promotion, reason)
    if fail_unless_promoted and promotion.refused:
        raise typer.Exit(5)
