"""What `hallmark init` does: imports the data, looks at model and machine, writes settings that suit all."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.errors import HallmarkError, InputError
from core.files import atomic_writer, no_such_file
from core.progress import announce
from core.text import counted
from experiments.config import TrainRunConfig
from experiments.defaults import filled, is_tiny, measure_training, settle_generation
from experiments.importing import ImportReport, import_prepared
from experiments.importing import Prepared as PreparedImport
from experiments.references import ResolvedModel, resolve_model
from experiments.workspace import Workspace, open_workspace
from golden.datasets import read_items
from golden.importing.sources import HUB_PREFIX
from golden.manifest import manifest_path
from golden.prompting import PromptConfig, ResolvedPrompt
from hallmark.memory import training_memory
from hallmark.proposal import (
    Machine,
    Setting,
    as_toml,
    instruction_for,
    parameter_count,
    predict_seconds,
    propose_generation,
    propose_training,
    step_seconds,
    this_machine,
)
from inference.contract import GenerationConfig
from trainer.contract import GB, Settling, TrainConfig
from trainer.model.architecture import read_architecture

MOST_GOLDEN = 300
"""Questions of a golden set where nobody says how many: enough to find a gain of about 8 points."""
GOLDEN_SHARE = 4
"""One question in so many is golden where the others are trained on."""
FEW = 50
"""Questions below which hardly any gain can be shown."""
SENTENCE = 5
"""Words from which on an answer is a sentence."""
EXACT = ("answer_correctness@", "exact_match@", "math_equivalence@")
"""Judges that want an answer as it is."""
USABLE = 0.9
"""Share of a GPU's memory that training may take."""
FOLDER = Path("data")
OF_SPLITS = re.compile(r"(train|test|eval|valid(ation)?|dev|data|dataset|main|default)?", re.IGNORECASE)
"""Names of files that say nothing about what is in them."""


class Wanted(BaseModel):
    """What a person asks `hallmark init` for; see the command's options."""

    model: str
    data: str
    train_data: str | None = None
    name: str | None = None
    golden_items: int | None = None
    judge: str | None = None
    columns: dict[str, str] = {}
    format: str | None = None
    encoding: str | None = None
    answer_is: str | None = None
    skip_bad: bool = False
    memory_gb: float | None = None
    cpu: bool = False
    minutes: float = 30
    config: Path = Path("hallmark.toml")

    def importing(self, source: str, name: str, **options: Any) -> AbstractContextManager[PreparedImport]:
        """Look at what of a source can be imported, read as was asked for; see `import_prepared`."""
        return import_prepared(
            source,
            name,
            format=self.format,
            columns=self.columns,
            encoding=self.encoding,
            answer_is=self.answer_is,
            out=FOLDER,
            **options,
        )


def check_model(reference: str) -> None:
    """Refuse a model that cannot be used. Raises what `resolve_model` raises."""
    resolve_model(reference, open_workspace())


def check_source(source: str) -> None:
    """Refuse questions that are nowhere.

    Raises:
        InputError: there is no such file or directory.
    """
    if not source.startswith(HUB_PREFIX) and not Path(source).exists():
        raise InputError(f"{source}: no such file. {no_such_file(Path(source))}")


class Prepared(BaseModel):
    """What was found and written.

    Attributes:
        model: the model's reference.
        parameters: how many weights it has.
        machine: what the work will run on, in words.
        golden: how the golden set was imported.
        train: how the training set was; None where there is nothing to train on.
        untrained: why nothing will be trained; None where it will.
        settings: name, value and reason of each.
        config: the file with them.
        minutes: about how long the experiment takes; None on a GPU.
        warnings: what a person should know before running it.
        command: what to run next.
    """

    model: str
    parameters: int
    machine: str
    golden: ImportReport
    train: ImportReport | None
    untrained: str | None
    settings: list[Setting]
    config: Path
    minutes: float | None
    warnings: list[str]
    command: str


def prepare(wanted: Wanted) -> Prepared:
    """Import the data, propose settings and write them.

    Args:
        wanted: what was asked for.

    Raises:
        InputError: the model or the data cannot be used; says why.
        ResourceError: a hub or a package that is needed is not there.
    """
    workspace = open_workspace()
    model = resolve_model(wanted.model, workspace)
    parameters = parameter_count(model.directory)
    machine = this_machine(wanted.memory_gb, wanted.cpu)
    name = wanted.name or name_of(wanted.data)
    with removed_on_error() as reports:
        reports.append(golden := _golden_set(wanted, name))
        train, untrained = _training_set(wanted, name, golden, model)
        reports += [train] if train else []
        settings = _settings(wanted, name, model, parameters, machine, golden, train, workspace)
    command = f"hallmark {'experiment' if train else 'evaluate'} --config {shlex.quote(str(wanted.config))}"
    heading = f"{name}: written by hallmark init. Every setting: docs/reference.md\n{command}"
    with atomic_writer(wanted.config) as file:
        file.write(as_toml(settings, heading).encode())
    return Prepared(
        model=model.reference,
        parameters=parameters,
        machine=str(machine),
        golden=golden,
        train=train,
        untrained=untrained,
        settings=settings,
        config=wanted.config,
        minutes=_minutes(settings, parameters, golden.taken, machine),
        warnings=_warnings(golden),
        command=command,
    )


def _minutes(settings: list[Setting], parameters: int, items: int, machine: Machine) -> float | None:
    """About how long all takes on a CPU: predictions of base and trained, and training."""
    if machine.memory_gb is not None:
        return None
    values = {each.name: each.value for each in settings}
    runs = 2 if "train.steps" in values else 1
    seconds = runs * predict_seconds(parameters, items * values["generation.max_new_tokens"], machine)
    if runs == 2:
        tokens = values["train.batch_size"] * values["train.sequence_length"]
        seconds += values["train.steps"] * step_seconds(parameters, tokens, machine)
    return seconds / 60


def _warnings(golden: ImportReport) -> list[str]:
    """What in a golden set makes a decision unlikely."""
    found = []
    if golden.taken < FEW:
        found.append(f"{golden.taken} questions cannot show much: bring {FEW} or more.")
    words = sorted(len(item.reference.split()) for item in read_items(golden.path))
    typical = words[len(words) // 2]
    if typical >= SENTENCE and (golden.judge or "").startswith(EXACT):
        found.append(
            f"The answers are sentences (median {typical} words), and {golden.judge} wants them word for "
            "word. --judge f1@v1 counts words in common; see docs/judges.md."
        )
    return found


@contextmanager
def removed_on_error() -> Iterator[list[ImportReport]]:
    """Datasets that are written inside the block, and removed where something keeps it from its end: then the
    command can be given again, with other options.
    """
    reports: list[ImportReport] = []
    try:
        yield reports
    except HallmarkError:
        for report in reports:
            if report.written:
                manifest_path(report.path).unlink(missing_ok=True)
                report.path.unlink(missing_ok=True)
        raise


def name_of(source: str) -> str:
    """A name for model and datasets, from where the questions are.

    Raises:
        InputError: nothing in it can be a name.

    Example:
        >>> name_of("gsm8k/test.jsonl"), name_of("hf:openai/gsm8k@main:test"), name_of("My Questions.csv")
        ('gsm8k', 'gsm8k', 'my-questions')
    """
    if source.startswith(HUB_PREFIX):
        parts = [source.removeprefix(HUB_PREFIX).partition("@")[0].rpartition("/")[2]]
    else:
        path = Path(source).absolute()
        parts = [path.name.partition(".")[0], path.parent.name]
    for part in parts:
        name = re.sub(r"[^a-z0-9]+", "-", part.casefold()).strip("-")[:40].strip("-")
        if not OF_SPLITS.fullmatch(name):
            return re.sub(r"-v[0-9]+$", "", name)
    raise InputError(f"--name: {source} suggests none. Give one, as in --name support")


def _golden_set(wanted: Wanted, name: str) -> ImportReport:
    """Import the golden set: all questions, or a sample of them."""

    def looked_at(sample: int | None) -> AbstractContextManager[PreparedImport]:
        return wanted.importing(
            wanted.data, name, sample=sample, judge=wanted.judge, skip_bad=wanted.skip_bad
        )

    items = wanted.golden_items
    if items is None:
        with looked_at(None) as prepared:
            found = prepared.report.taken
        most = min(MOST_GOLDEN, found if wanted.train_data else max(1, found // GOLDEN_SHARE))
        items = most if found > most else None
    with looked_at(items) as prepared:
        return prepared.write()


def _training_set(
    wanted: Wanted, name: str, golden: ImportReport, model: ResolvedModel
) -> tuple[ImportReport | None, str | None]:
    """Import the training set, or say why nothing can be trained."""
    try:
        read_architecture(model.directory)
    except InputError as error:
        return None, str(error)
    source = wanted.train_data or wanted.data
    with wanted.importing(
        source, f"{name}-train", train=True, against=[golden.path], skip_bad=True
    ) as prepared:
        report = prepared.report
        if report.taken == 0:
            return None, f"{source}: every row is a golden item, so nothing is left to train on"
        if report.refused > report.overlaps and not wanted.skip_bad:
            raise InputError(report.model_copy(update={"skip_bad": False}).why_blocked())
        if report.overlaps:
            held = ("is", "are") if source == wanted.data else ("holds", "hold")
            rows = counted(report.overlaps, f"row of {source} {held[0]}", f"rows of {source} {held[1]}")
            what = "golden" if source == wanted.data else "golden items"
            announce("guard:", f"{rows} {what}; {report.taken:,} are trained on")
        return prepared.write(), None


def _settings(
    wanted: Wanted,
    name: str,
    model: ResolvedModel,
    parameters: int,
    machine: Machine,
    golden: ImportReport,
    train: ImportReport | None,
    workspace: Workspace,
) -> list[Setting]:
    generation = propose_generation(parameters, machine)
    instruction = instruction_for(golden.judge or "")
    prompt = ResolvedPrompt(config=PromptConfig(instruction=instruction))
    fit = settle_generation(
        GenerationConfig(max_new_tokens="fit"), model.directory, [golden.path], prompt, workspace.home
    )
    told = (
        [Setting("prompt.instruction", instruction, "how the judge finds the answer")] if instruction else []
    )
    judge = [Setting("judge", wanted.judge, "")] if wanted.judge else []
    settings = [
        Setting("base_model" if train else "model", wanted.model, ""),
        *([Setting("model_name", name, "in the registry")] if train else []),
        Setting("dataset", str(golden.path), f"{golden.taken:,} questions, judged by {golden.judge}"),
        *judge,
        *told,
        Setting("generation.max_new_tokens", fit.max_new_tokens, "from the longest reference answer"),
        *generation,
    ]
    if train is None:
        return settings

    def settle(**given: Any) -> Settling:
        config = TrainConfig(dataset=str(train.path), **given)
        if is_tiny(model.directory):
            config = filled(config)
        return measure_training(config, model.directory, train.path, prompt, workspace.home)

    method = _method(wanted.model, settle, machine)
    return [
        *settings,
        Setting("train.dataset", str(train.path), counted(train.taken, "trace")),
        *method,
        *propose_training(partial(settle, method=method[0].value), parameters, machine, wanted.minutes),
    ]


def _method(model: str, settle: Callable[..., Settling], machine: Machine) -> list[Setting]:
    """Whether to train every weight or adapters, and in what; asked of the compiled step, as `doctor` does.

    Raises:
        InputError: not even adapters fit into the GPU.
    """
    if machine.memory_gb is None:
        return [Setting("train.method", "full", "trains every weight")]
    settled = settle(on_too_long="drop").config
    frugal = {"dtype": "bfloat16", "remat": True, "memory_gb": machine.memory_gb}
    config = TrainRunConfig.model_validate({"base_model": model, "train": frugal})
    found = training_memory(config, [1], [settled.sequence_length])
    for row in found.rows:  # every weight first
        if row.memory.total <= USABLE * machine.memory_gb * GB:
            needs = f"one row of {row.sequence_length:,} tokens needs {row.memory.total / GB:.1f} GB"
            return [
                Setting("train.method", row.method, f"{needs} of {machine.memory_gb:.1f}"),
                Setting("train.dtype", "bfloat16", "what GPUs are fast in; trained weights stay float32"),
                Setting("train.remat", True, "recomputes activations: less memory, about a third slower"),
            ]
    raise InputError(
        f"{model}: not even one row of {settled.sequence_length:,} tokens with adapters fits into {machine}: "
        f"{found.rows[-1].memory}. Take a smaller model, or --memory-gb for a larger GPU."
    )
