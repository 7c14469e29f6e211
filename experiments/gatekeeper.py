"""The gate as the registry asks it, and what is asked about which runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import InputError
from evaluation.alpha import SPENDING, spent_level
from evaluation.comparison import Comparison, RunScores, compare
from evaluation.gate import Case, GateConfig, GateDecision, decide
from evaluation.limits import Measured, MeasuredPair
from evaluation.suite import Limit, Requirement, Suite, in_order
from evaluation.training_data import TrainingData
from experiments.comparing import conditions
from experiments.config import ExperimentConfig
from experiments.revisions import revision_in, weighed
from golden.datasets import load_dataset
from golden.prompting import recorded_prompt
from inference.contract import CUT_OFF, GenerationConfig, PredictionMeta
from judges import judge_reference, load_judge
from registry import Evidence, Pair, Pairing, Registry, Ruling, Run
from registry.alpha_ledger import Turn
from registry.runs import OF_SPEED, is_imported


@dataclass(frozen=True)
class Wanted:
    """What is asked about which runs.

    Attributes:
        requirements: what must hold, the main one first.
        pairings: the candidate's run for each, and, where it is known, the run to compare with.
        limits: bounds beside the scores.
    """

    requirements: Sequence[Requirement]
    pairings: Sequence[Pairing]
    limits: Sequence[Limit] = ()

    @classmethod
    def of_run(cls, run: Run, against: str | None) -> Wanted:
        """Is this run better than what is served?"""
        return cls([Requirement()], [Pairing(run.run_id, against)])

    @classmethod
    def of_suite(cls, suite: Suite, run: Run, registry: Registry, against: str | None) -> Wanted:
        """Does everything hold of the weights that this run judged?

        Raises:
            InputError: they were not judged on a dataset of the suite, or with other settings of prompt or
                generation than in this run; gives the commands that do it.
        """
        requirements = in_order(suite.require)
        runs = [_run_on(requirement, run, registry) for requirement in requirements]
        missing, unlike = list[str](), list[str]()
        for requirement, found in zip(requirements, runs, strict=True):
            differing = [] if found is None else settings_that_differ(run, found)
            if found is None or differing:
                missing.append(_evaluation(run, requirement))
            if found is not None and differing:
                unlike.append(
                    f"run {found.run_id} judged it on {requirement.dataset} with another "
                    f"{', '.join(differing)}, and one decision needs one way of asking"
                )
        if missing:
            raise InputError(
                f"run {run.run_id}: its model was not judged on everything that the suite requires"
                + (f", as this run judged it: {'; '.join(dict.fromkeys(unlike))}" if unlike else "")
                + f". Run: {'; '.join(dict.fromkeys(missing))}"
            )
        pairings = [
            paired(requirement, found.run_id, None)
            for requirement, found in zip(requirements, runs, strict=True)
            if found is not None
        ]
        if against is not None:
            pairings[0] = replace(pairings[0], against=against)
        return cls(requirements, pairings, suite.limit)

    @classmethod
    def of_experiment(
        cls, config: ExperimentConfig, candidates: Sequence[str], bases: Sequence[str], served: Sequence[str]
    ) -> Wanted:
        """Does everything hold that an experiment requires?

        Args:
            config: the experiment.
            candidates: ids of the trained model's runs, one for each of `config.datasets`.
            bases: ids of the base model's runs, likewise.
            served: ids of the champion's runs, likewise; the base's where there is no champion.
        """
        places = {each.judged_on: place for place, each in enumerate(config.datasets)}
        pairings = [
            paired(
                each,
                candidates[places[each.judged_on]],
                (bases if each.against == "base" else served)[places[each.judged_on]],
            )
            for each in config.requirements
        ]
        return cls(config.requirements, pairings, config.limit)


def paired(requirement: Requirement, candidate: str, against: str | None) -> Pairing:
    """A requirement as the registry knows it."""
    terms: dict[str, Any] = {}
    if not requirement.is_default:
        terms = {"aim": requirement.aim, "margin": requirement.margin, "against": requirement.against}
    return Pairing(candidate, against, requirement.against == "base", terms)


def _run_on(requirement: Requirement, run: Run, registry: Registry) -> Run | None:
    """The run of the same weights on a requirement's dataset: the offered one itself where it is that."""
    dataset = load_dataset(requirement.dataset)
    judge = judge_reference(load_judge(requirement.judge or dataset.judge))
    if (registry.datasets.get(run.dataset_id).sha256, run.judge) == (dataset.sha256, judge):
        return run
    return registry.runs.judging(run, dataset.sha256, judge)


def settings_that_differ(run: Run, other: Run) -> list[str]:
    """The settings of prompt and generation that can change predictions and are not the same in two runs.

    Example:
        >>> settings_that_differ(run, other)
        ['prompt.instruction', 'generation.max_new_tokens']
    """
    one, two = _asked_with(run), _asked_with(other)
    return [name for name in {**one, **two} if one.get(name) != two.get(name)]


def _asked_with(run: Run) -> dict[str, Any]:
    chosen = {
        "prompt": recorded_prompt(run.manifest).conditions(),
        "generation": {**GenerationConfig().model_dump(), **(run.manifest.get("generation") or {})},
    }
    return {
        f"{part}.{name}": value
        for part, settings in chosen.items()
        for name, value in settings.items()
        if name not in OF_SPEED
    }


def _evaluation(run: Run, requirement: Requirement) -> str:
    """The command that judges a run's model on another dataset, asked as it was in that run."""
    model = f"run:{run.run_id}" if run.kind == "trained" else run.base_model
    prompt = recorded_prompt(run.manifest).config.model_dump(mode="json", exclude_defaults=True)
    generation = run.manifest.get("generation") or {}
    usual = GenerationConfig().model_dump()
    chosen = {
        "prompt": prompt,
        "generation": {
            name: value
            for name, value in generation.items()
            if name not in OF_SPEED and value != usual.get(name)
        },
    }
    settings = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in _dotted(chosen)]
    return " ".join(
        [
            f"hallmark evaluate {model} --dataset {shlex.quote(requirement.dataset)}",
            *([f"--judge {shlex.quote(requirement.judge)}"] if requirement.judge else []),
            *(f"--set {shlex.quote(each)}" for each in settings),
        ]
    )


def _dotted(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The opposite of `experiments.config.nested`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{rest}", inner) for rest, inner in _dotted(value))
        else:
            yield name, value


@dataclass
class Gatekeeper:
    """The gate as the registry asks it: compares the scores that it is given and applies the rule.

    The registry asks twice, the second time inside its transaction. The rule is applied each time; two runs
    are compared again only if anything about them differs from the last time, since a comparison depends on
    nothing else.

    Attributes:
        gate: the rule's numbers.
        requirements: what must hold, in the order of the offer's pairings.
        limits: bounds on what is measured beside the scores.
        training_data: what is known of the candidate's training data, for each requirement's dataset.
        registry: knows where the runs' items may be.
        comparisons: the last comparisons that were decided on, in the same order.
        decision: what was decided.
    """

    gate: GateConfig
    requirements: Sequence[Requirement] = (Requirement(),)
    limits: Sequence[Limit] = ()
    training_data: Sequence[TrainingData] = ()
    registry: Registry | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    decision: GateDecision | None = None
    _asked: list[tuple[RunScores, RunScores, list[str]]] = field(default_factory=list)

    @property
    def comparison(self) -> Comparison | None:
        """The main requirement's comparison."""
        return self.comparisons[0] if self.comparisons else None

    def __call__(self, evidence: Evidence) -> Ruling:
        """Decide on the evidence. Raises what `evaluation.comparison.compare` raises."""
        self._compare(evidence.pairs)
        known: Sequence[TrainingData | None] = self.training_data or [None] * len(evidence.pairs)
        cases = [
            Case(
                requirement if pair.served else requirement.model_copy(update={"against": "base"}),
                comparison,
                training_data=training,
                measured=measured_pair(requirement, pair) if self.limits else None,
            )
            for requirement, comparison, pair, training in zip(
                self.requirements, self.comparisons, evidence.pairs, known, strict=True
            )
        ]
        turn = self._tightest(evidence.turns)
        names = {each.candidate_dataset.sha256: each.candidate_dataset for each in evidence.pairs}
        dataset = names[turn.dataset_sha256]
        decision = decide(
            cases,
            self.gate,
            limits=self.limits,
            number=turn.number,
            carried=turn.carried,
            spent=turn.spent,
            level=turn.level,
            ledger=dataset.name,
        )
        remarks, about = _remarks(evidence.pairs)
        decision = decision.model_copy(update={"reasons": [*decision.reasons, *remarks]})
        self.decision = decision
        return Ruling(
            promote=decision.promote,
            significant=decision.significant,
            p_value=decision.p_value,
            level=decision.level,
            reason=" ".join(decision.reasons),
            document={
                **decision.model_dump(mode="json"),
                "gate": self.gate.model_dump(mode="json"),
                **about,
                **({"training_data": known[0].model_dump(mode="json")} if known[0] else {}),
            },
            spending=SPENDING,
        )

    def _tightest(self, turns: Sequence[Turn]) -> Turn:
        """Of the datasets' ledgers the one that leaves the smallest level; the first of equal ones. One that
        was decided before has its level.
        """
        return min(
            turns,
            key=lambda turn: (
                turn.level or spent_level(self.gate.alpha, turn.number, turn.carried, turn.spent)
            ),
        )

    def _compare(self, pairs: Sequence[Pair]) -> None:
        asked = []
        for pair in pairs:
            opponent = conditions(pair.opponent, pair.opponent_scores, pair.opponent_dataset, self.registry)
            candidate = conditions(
                pair.candidate, pair.candidate_scores, pair.candidate_dataset, self.registry
            )
            # the order of the items decides the resampling
            asked.append((opponent, candidate, list(opponent.scores)))
        if asked != self._asked:
            self.comparisons = [
                compare(opponent, candidate, margin=requirement.margin)
                for (opponent, candidate, _), requirement in zip(asked, self.requirements, strict=True)
            ]
            self._asked = asked


def _remarks(pairs: Sequence[Pair]) -> tuple[list[str], dict[str, Any]]:
    """What a reader should know of the compared runs beside their scores, in sentences and for the log: whose
    predictions were imported, and which datasets were changed after looking at answers.
    """
    sentences, about = list[str](), dict[str, Any]()
    brought = [pair.opponent.run_id for pair in pairs if is_imported(pair.opponent)]
    if brought:
        sentences.append(
            f"The predictions of run {', '.join(dict.fromkeys(brought))}, which it was compared with, were "
            "imported and not made here."
        )
        about["imported_opponents"] = brought
    for pair in pairs:
        name = pair.candidate_dataset.name
        revision = revision_in(pair.candidate.manifest, pair.opponent.manifest)
        if revision is not None and name not in about.get("revised", {}):
            sentences.append(weighed(name, revision, pair.candidate, pair.opponent))
            about.setdefault("revised", {})[name] = revision.model_dump(mode="json")
    return sentences, about


def measured_pair(requirement: Requirement, pair: Pair) -> MeasuredPair:
    """What limits may bound, of the two runs of a requirement."""
    dataset = pair.candidate_dataset
    return MeasuredPair(
        dataset=dataset.name,
        reference=requirement.dataset,
        against=requirement.against,
        candidate=measured(pair.candidate),
        opponent=measured(pair.opponent),
    )


def measured(run: Run) -> Measured:
    """What limits may bound, of a finished run."""
    meta = PredictionMeta.model_validate(run.predictions_meta)
    answers = meta.items
    if meta.cut_samples:
        answers *= int(run.manifest["generation"]["samples"])
    return Measured(
        cut_share=None if CUT_OFF in meta.unknown else meta.completions_cut_off / answers,
        tokens_per_second=meta.timing.get("tokens_per_second") or None,
        size=meta.weights_bytes,
    )
