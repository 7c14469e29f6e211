"""`hallmark doctor`: is this machine ready?"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, NamedTuple

import typer
from rich.text import Text

from core.errors import HallmarkError, InputError
from core.text import counted
from hallmark.cli.completing import completes, datasets, models
from hallmark.cli.terminal import Json, emit, out

State = Literal["ok", "missing", "warning", "problem"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    state: State
    detail: str


def doctor(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Model to plan for: a directory, registry:NAME@ALIAS, or a hub id; with --endpoint, "
            "endpoint:NAME.",
            autocompletion=completes(models),
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="URL", help="Ask this server what it is and which models it has."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Show how the model is asked on this golden dataset.",
            autocompletion=completes(datasets),
        ),
    ] = None,
    train_dataset: Annotated[
        str | None,
        typer.Option(
            "--train-dataset",
            help="Show also what this training dataset teaches it.",
            autocompletion=completes(datasets),
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show the memory that training the model needs.")
    ] = False,
    batch: Annotated[str, typer.Option(help="With --plan: rows per step, separated by commas.")] = "1,4,16",
    length: Annotated[
        str, typer.Option(help="With --plan: tokens per row, separated by commas.")
    ] = "512,1024,2048",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting, as in prompt.system='Be brief.'; with --plan, as in train.remat=true.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check packages, GPU, disk, registry and built-in data, and say what to do about what is not right.

    With --model and --dataset: how the model is asked, with the first item token by token; with --endpoint,
    turn by turn. With --model and --plan: the memory that each way of training the model needs, against the
    GPU's.
    """
    if endpoint is not None or (model or "").startswith("endpoint:"):
        if train_dataset or plan:
            raise InputError(
                "--endpoint shows a server: nothing is trained there, and only it knows its memory"
            )
        findings = list(_endpoint(endpoint, model))
        _show([*findings, *(_sent(endpoint, model, dataset, settings) if dataset else [])], json)
        return
    if dataset or train_dataset:
        if plan:
            raise InputError("--plan shows memory and --dataset prompts: one at a time")
        _prompts(model or "tiny-base", dataset, train_dataset, settings, json)
        return
    if plan or model:
        _memory(
            model or "tiny-base", _numbers("--batch", batch), _numbers("--length", length), settings, json
        )
        return
    _show(list(_findings()), json)


def _show(findings: list[Finding], json: bool) -> None:
    broken = any(finding.state == "problem" for finding in findings)
    if json:
        emit([finding._asdict() for finding in findings])
    else:
        colours = {"ok": "green", "missing": "yellow", "warning": "yellow", "problem": "red"}
        for finding in findings:
            state = (f"{finding.state:<8}", colours[finding.state])
            line = Text.assemble(state, f" {finding.name:<14}", finding.detail)
            out.print(line, soft_wrap=True, hanging=23)
    if broken:
        raise typer.Exit(4)


def _endpoint(url: str | None, model: str | None) -> Iterator[Finding]:
    """What a server says of itself, and whether it serves a model.

    Raises:
        InputError: no URL, or a model that no server can have.
    """
    from inference.endpoint import ENDPOINT_PREFIX, EXAMPLE, Access, Endpoint, look, served_name

    name = None if model is None else served_name(model)
    if url is None:
        raise InputError(f"{model}: say where it is served, as in --endpoint {EXAMPLE}")
    if model is not None and not name:
        raise InputError(f"--model {model}: with --endpoint expected {ENDPOINT_PREFIX}NAME")
    try:
        access = Access.of(Endpoint(url))
    except ValueError as error:
        raise InputError(str(error)) from None
    try:
        served = look(access)
    except HallmarkError as error:
        yield Finding("endpoint", "problem", str(error))
        return
    yield Finding(
        "endpoint", "ok", f"{access.endpoint}, {served.software or 'which does not say what it is'}"
    )
    names = (
        "it does not list them" if served.models is None else ", ".join(served.models) or "none are listed"
    )
    yield Finding("models", "ok" if served.models else "warning", names)
    if name is not None and served.models:
        there = served.has(name)
        yield Finding("model", "ok" if there else "problem", f"{name} is {'' if there else 'not '}served")


def _sent(url: str | None, model: str | None, dataset: str, settings: list[str] | None) -> Iterator[Finding]:
    """What a server is asked for the first item of a dataset, turn by turn; the tokens only it knows.

    Raises:
        InputError: the dataset or a setting is unusable.
    """
    from core.text import visible_lines
    from experiments.config import EvaluateConfig, configured
    from golden.rendering import conversation
    from hallmark.cli.options import parse_settings
    from hallmark.prompts import first_item

    given = {"model": model or "endpoint:any", "generation.endpoint": url, "dataset": dataset}
    config = configured(EvaluateConfig, None, {**given, **parse_settings(settings)})
    count, item, prompt = first_item(config)
    yield Finding(
        "dataset", "ok", f"{config.dataset}, {counted(count, 'item')}. The first, {item.trace_id}, is sent as"
    )
    for turn in conversation(item, prompt):
        yield Finding(turn["role"], "ok", visible_lines(turn["content"]))


def _memory(
    model: str, batches: list[int], lengths: list[int], settings: list[str] | None, json: bool
) -> None:
    from experiments.config import TrainRunConfig, configured
    from hallmark.cli.options import parse_settings
    from hallmark.cli.show.memory import show_memory
    from hallmark.memory import training_memory

    config = configured(TrainRunConfig, None, {"base_model": model, **parse_settings(settings)})
    result = training_memory(config, batches, lengths)
    if json:
        emit(result.model_dump(mode="json"))
    else:
        show_memory(model, result, config.train.dtype)


def _prompts(
    model: str, dataset: str | None, train_dataset: str | None, settings: list[str] | None, json: bool
) -> None:
    from experiments.config import TrainRunConfig, configured
    from hallmark.cli.options import parse_settings
    from hallmark.cli.show.prompt import show_prompt
    from hallmark.prompts import preview_prompts

    given = {"base_model": model, "dataset": dataset, "train.dataset": train_dataset}
    config = configured(TrainRunConfig, None, {**given, **parse_settings(settings)})
    found = preview_prompts(config, traces=train_dataset is not None)
    if json:
        emit(found.model_dump(mode="json"))
    else:
        show_prompt(model, config.dataset, found)


def _numbers(option: str, text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"{option} {text}: expected positive numbers separated by commas, as in 1,4,16")
    return [int(part) for part in parts]


def _findings() -> Iterator[Finding]:
    from experiments.environment import INFERENCE_PACKAGES, TRAINING_PACKAGES, hardware

    machine = hardware()
    yield Finding("processor", "ok", f"{machine['processor']}, {counted(machine['cores'], 'core')}")
    gpus = machine["gpus"]
    yield Finding(
        "GPU",
        "ok" if gpus else "missing",
        "; ".join(gpus) or "none found by nvidia-smi; everything runs on the CPU",
    )
    yield from _packages("inference", INFERENCE_PACKAGES)
    yield from _packages("training", TRAINING_PACKAGES)
    yield _vllm()
    yield _attempt("home", _home)
    yield _attempt("registry", _registry)
    if os.environ.get("PREFECT_API_URL"):
        yield _attempt("Prefect", _prefect)
    yield _attempt("artifacts", _artifacts)
    yield _attempt("golden-v1", lambda: _dataset("golden-v1"))
    yield _attempt("train-v1", lambda: _dataset("train-v1"))
    yield _attempt("tiny-base", _tiny_base)


def _packages(extra: str, names: tuple[str, ...]) -> Iterator[Finding]:
    from experiments.environment import NOT_INSTALLED, OPTIONAL_PACKAGES, package_versions

    found = package_versions(names)
    versions = {
        name: version
        for name, version in found.items()
        if name not in OPTIONAL_PACKAGES or version != NOT_INSTALLED
    }
    absent = [name for name, version in versions.items() if version == NOT_INSTALLED]
    if absent:
        yield Finding(extra, "missing", f"{', '.join(absent)} not installed: uv sync --extra {extra}")
    else:
        yield Finding(extra, "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _vllm() -> Finding:
    from core.errors import ResourceError
    from experiments.engines import find_vllm
    from inference.contract import GenerationConfig

    try:
        found = find_vllm(GenerationConfig(engine="vllm"))
    except ResourceError as error:
        return Finding("vllm", "missing", str(error).replace("generation.engine is vllm, and ", ""))
    where = found.python or "Hallmark's own environment"
    device = "the CPU" if found.build.on_cpu else "GPUs"
    return Finding("vllm", "ok", f"{found.build.name} {found.build.version} for {device}, in {where}")


def _attempt(name: str, look: Callable[[], str | Finding]) -> Finding:
    try:
        found = look()
        return found if isinstance(found, Finding) else Finding(name, "ok", found)
    except HallmarkError as error:
        return Finding(name, "problem", str(error))


def _home() -> str | Finding:
    from core.files import atomic_writer, is_closed, make_home
    from core.settings import get_settings

    home = get_settings().home.absolute()
    make_home(home, to_write=False)
    if is_closed(home):
        return Finding("home", "warning", f"{home} is read-only: reading works, nothing can be recorded")
    with atomic_writer(home / ".doctor") as file:
        file.write(b"ok")
    (home / ".doctor").unlink()
    detail = f"{home}, {shutil.disk_usage(home).free / 1e9:.0f} GB free"
    if mode := home.stat().st_mode & 0o077:
        readers = "every user of this machine" if mode & 0o007 else "its group"
        open_to = f"open to {readers}: registry, predictions, datasets, models and logs"
        remedy = f"Unless you share it on purpose: chmod 700 {shlex.quote(str(home))}"
        return Finding("home", "warning", f"{detail}; {open_to}. {remedy}")
    return detail


def _registry() -> str | Finding:
    from core.settings import get_settings
    from experiments.workspace import open_workspace
    from registry.opening import has_registry

    settings = get_settings()
    if not has_registry(settings.home, settings.registry_url):
        return "no registry yet; the first run makes it"
    registry = open_workspace().registry
    runs, models = registry.runs.count(), len(registry.models.list())
    return f"{registry.description}, {counted(runs, 'run')}, {counted(models, 'model')}"


def _prefect() -> str | Finding:
    from core.files import is_closed
    from core.settings import get_settings
    from hallmark.workstation.ready import check_server

    if is_closed(get_settings().home):
        return Finding("Prefect", "warning", "not asked, since the home is read-only")
    check_server()
    return "the server that PREFECT_API_URL names answers"


def _artifacts() -> str:
    from core.settings import get_settings
    from registry import open_store

    settings = get_settings()
    store = open_store(settings.home, settings.artifacts)
    return f"{store.place}, {counted(store.count(), 'file')}"


def _dataset(name: str) -> str:
    from golden.datasets import load_dataset

    dataset = load_dataset(name)
    return f"{counted(sum(1 for _ in dataset.items()), 'item')}, sha256 {dataset.sha256[:16]}..., as frozen"


def _tiny_base() -> str:
    from core.files import sha256_tree
    from experiments.references import TINY_BASE_DIRECTORY
    from inference.model_directory import check_model_directory

    check_model_directory(TINY_BASE_DIRECTORY)
    return f"sha256 {sha256_tree(TINY_BASE_DIRECTORY)[:16]}..."
