"""`import hallmark as hm`: cheap to import, complete for editors, and results that show as tables."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hallmark as hm
from core.tabular import Row, Tabular
from evaluation.comparison import RunScores, compare
from registry import Registry
from tests.support.registry_entries import promoted

pytestmark = pytest.mark.unit

HEAVY = ("torch", "jax", "transformers", "prefect", "sqlmodel", "pandas", "numpy", "pydantic")
HOSTILE = "<script>alert(1)</script> & \x1b[31m\n</td>"


def run_python(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_importing_it_loads_nothing_heavy() -> None:
    done = run_python("import hallmark, json, sys; dir(hallmark); print(json.dumps(sorted(sys.modules)))")
    assert not set(HEAVY) & set(json.loads(done.stdout))


def test_every_name_is_there_for_python_and_for_editors() -> None:
    tree = ast.parse(Path(hm.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    homes = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted([*homes, "__version__"]) == sorted(hm.__all__) == dir(hm)
    for name, home in homes.items():
        assert getattr(hm, name) is getattr(sys.modules[str(home)], name)
    with pytest.raises(AttributeError, match="no attribute 'cards'"):
        _ = hm.cards


def test_open_chooses_the_workspace_of_all_calls_and_child_processes(home: Path, tmp_path: Path) -> None:
    first = hm.open()
    assert first.home == home
    chosen = hm.open(tmp_path / "other")
    assert chosen.home == tmp_path / "other"
    assert os.environ["HALLMARK_HOME"] == str(tmp_path / "other")
    assert list(hm.runs()) == list(hm.models()) == []
    assert (tmp_path / "other" / "registry.db").is_file()


def test_a_workspace_that_cannot_be_opened_is_not_chosen(home: Path) -> None:
    with pytest.raises(hm.InputError):
        hm.open(registry="nonsense")
    assert "HALLMARK_REGISTRY_URL" not in os.environ


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("hm.evaluate('nowhere')", "nowhere: "),
        (
            "hm.evaluate(generation={'max_new_tokens': 0})",
            "generation.max_new_tokens: expected a number from 1",
        ),
        ("hm.evaluate(judge='nobody@v1')", "nobody@v1"),
        ("hm.evaluate(judge={'name': 'regex@v1', 'pattern': '('})", "pattern"),
        ("hm.rejudge('2026', {'pattern': 'x'})", "judge: name is missing in the table"),
        ("hm.experiment(train={'steps': 0, 'speed': 3})", "train.speed: unknown setting"),
        ("hm.experiment('nowhere.toml')", "nowhere.toml: no such configuration file"),
        ("hm.train(config=hm.ExperimentConfig(dataset='golden-v9'))", "golden-v9"),
        ("hm.reproduce('2026')", "run 2026"),
        ("hm.promote('2026', gate={'alpha': 3})", "promote: alpha: Input should be less"),
        ("hm.compare('2026', '2027')", "run 2026"),
        ("hm.export('nobody@champion', 'out')", "nobody"),
    ],
)
def test_bad_input_is_a_sentence_before_prefect_is_loaded(home: Path, call: str, message: str) -> None:
    source = f"""
import sys
import hallmark as hm
try:
    {call}
except hm.InputError as error:
    print(error)
print(sorted({{"prefect", "torch", "jax"}} & set(sys.modules)))
"""
    done = run_python(source)
    assert done.stderr == ""
    *sentence, loaded = done.stdout.splitlines()
    assert message in "\n".join(sentence)
    assert loaded == "[]"


class Tags(HTMLParser):
    """The names of the elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.add(tag)


class Hostile(Tabular):
    def table_caption(self) -> str:
        return HOSTILE

    def table_rows(self) -> list[Row]:
        return [{HOSTILE: HOSTILE, "number": 1}]


def test_names_and_texts_have_no_power_over_a_notebook_or_a_terminal() -> None:
    page = Hostile()._repr_html_()
    assert Tags(page).found == {"table", "caption", "thead", "tr", "th", "tbody", "td"}
    assert page.count("&lt;script&gt;") == 3
    assert "\n" not in repr(Hostile())
    assert "\x1b" not in repr(Hostile())


def test_a_comparison_is_a_table_and_a_frame() -> None:
    ids = [f"t{number}" for number in range(8)]
    same = {
        "dataset": "small-v1",
        "dataset_sha256": "0" * 64,
        "judge": "exact_match@v1",
        "judge_fingerprint": "1" * 64,
        "generation": {},
        "categories": {trace_id: "<b>" if trace_id < "t4" else "plain" for trace_id in ids},
    }
    scores = [{trace_id: float(trace_id < limit) for trace_id in ids} for limit in ("t2", "t6")]
    before, after = (RunScores(run_id=f"run-{n}", scores=found, **same) for n, found in enumerate(scores))
    comparison = compare(before, after)
    frame = comparison.to_frame()
    assert list(frame["group"]) == ["overall", "<b>", "plain"]
    assert list(frame["delta"]) == [0.5, 0.5, 0.5]
    assert list(frame["better"]) == [4, 2, 2]
    assert pd.isna(frame.loc[1, "ci_low"])
    assert "b" not in Tags(comparison._repr_html_()).found
    assert repr(comparison).startswith(
        "<Comparison: run run-1 against run run-0 on small-v1, judged by exact"
    )
    assert type(comparison).model_validate_json(comparison.model_dump_json()) == comparison


def test_runs_and_models_are_tables_and_frames(home: Path, registry: Registry, tmp_path: Path) -> None:
    version = promoted(registry, tmp_path)
    url = registry.database.engine.url.render_as_string(hide_password=False)
    hm.open(home, registry=url)
    try:
        runs, models = hm.runs(), hm.models()
        assert [run.run_id for run in runs][-1] == "base-run"
        assert list(runs.to_frame()["status"]) == ["finished"] * len(runs)
        assert repr(models) == "<ModelList: 1 model>"
        assert models.to_frame().to_dict("records") == [
            {"model": version.model, "champion": version.number, "versions": 1}
        ]
        run = hm.run(version.run_id)
        assert run.score == run.to_frame()["value"][0]
        assert run.document()["metrics"][0]["value"] == run.score
        assert version.run_id in repr(run)
        exported = hm.export(f"{version.model}@champion", tmp_path / "out")
        assert len(list((tmp_path / "out").iterdir())) == exported.files
    finally:
        del os.environ["HALLMARK_REGISTRY_URL"]


def test_a_frame_without_pandas_says_what_to_install(tmp_path: Path) -> None:
    source = """
import sys
sys.modules["pandas"] = None  # what an absent package looks like
import hallmark as hm
try:
    hm.models().to_frame()
except hm.ResourceError as error:
    print(error)
"""
    assert (
        run_python(source, HALLMARK_HOME=str(tmp_path)).stdout
        == "to_frame() needs pandas: pip install 'hallmark[notebook]'\n"
    )
