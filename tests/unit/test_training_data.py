"""Training data loses no trace unasked, mixes no traces, puts loss on what is taught alone, continues where
it stood, and stays small.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.files import write_jsonl
from golden.datasets import load_dataset, read_items
from golden.mixing import Part, write_mixture
from tests.support.small_datasets import marked, tokenized
from trainer.data.packing import HostBatch, pack
from trainer.data.stream import PackedStream, TokenizedDataset, evaluation_batches, held_out
from trainer.data.tokens import Fitted, check_ids, fit

pytestmark = pytest.mark.unit

LENGTHS = st.integers(12, 40)


@st.composite
def datasets(draw: st.DrawFn) -> TokenizedDataset:
    """Trace n has the tokens 100 n, 100 n + 1, ...; any of them may bear loss."""
    marks = draw(
        st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=30),
        label="bears loss",
    )
    return marked(
        [([100 * number + place for place in range(len(bears))], bears) for number, bears in enumerate(marks)]
    )


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few traces make several windows."""
    monkeypatch.setattr("trainer.data.stream.WINDOW_TRACES", 7)


def segments(batches: Iterable[HostBatch]) -> list[tuple[list[int], list[int], list[int]]]:
    """Tokens, positions and targets of every segment, in order."""
    found = []
    for batch in batches:
        for row in range(len(batch.tokens)):
            for segment in range(1, batch.segments[row].max(initial=0) + 1):
                where = batch.segments[row] == segment
                found.append(
                    (
                        batch.tokens[row][where].tolist(),
                        batch.positions[row][where].tolist(),
                        batch.targets[row][where].tolist(),
                    )
                )
    return found


def traces_in(batches: Iterable[HostBatch]) -> list[int]:
    return [tokens[0] // 100 for tokens, _, _ in segments(batches)]


def one_epoch(stream: PackedStream) -> list[HostBatch]:
    """Batches of one row until the epoch ends."""
    epoch = stream.state()["epoch"]
    batches = []
    while stream.state()["epoch"] == epoch:
        batches.append(next(stream))
    return batches


def assert_same(one: HostBatch, two: HostBatch) -> None:
    for name in ("tokens", "positions", "segments", "targets"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


@given(datasets(), LENGTHS, st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_every_segment_is_one_whole_trace_with_loss_on_what_is_taught_alone(
    dataset: TokenizedDataset, length: int, rows: int, seed: int, packing: bool
) -> None:
    for batch in islice(PackedStream(dataset, batch=rows, length=length, seed=seed, packing=packing), 3):
        for name in ("tokens", "positions", "segments", "targets"):
            assert getattr(batch, name).shape == (rows, length)
            assert getattr(batch, name).dtype == np.int32
        for tokens, positions, targets in segments([batch]):
            trace = tokens[0] // 100
            begin = dataset.begins[trace]
            assert tokens == dataset.tokens[begin : begin + dataset.sizes[trace]].tolist()
            assert positions == list(range(len(tokens)))
            bears = dataset.bears_loss[begin + 1 : begin + dataset.sizes[trace]].tolist()
            assert targets == [*(t if b else -1 for t, b in zip(tokens[1:], bears, strict=True)), -1]
        assert (batch.targets[batch.segments == 0] == -1).all()
        assert packing or batch.segments.max() == 1


@given(datasets(), LENGTHS, st.integers(0, 5), st.booleans())
def test_every_epoch_holds_every_trace_once(
    dataset: TokenizedDataset, length: int, seed: int, packing: bool
) -> None:
    stream = PackedStream(dataset, batch=1, length=length, seed=seed, packing=packing)
    for _ in range(3):
        assert sorted(traces_in(one_epoch(stream))) == list(range(len(dataset)))


@given(datasets(), LENGTHS, st.integers(1, 4), st.integers(0, 5), st.integers(0, 12), st.booleans())
def test_a_stopped_stream_continues_as_if_undisturbed(
    dataset: TokenizedDataset, length: int, rows: int, seed: int, stopped: int, packing: bool
) -> None:
    def stream(state: dict[str, int] | None = None) -> PackedStream:
        return PackedStream(dataset, batch=rows, length=length, seed=seed, packing=packing, state=state)

    undisturbed = list(islice(stream(), stopped + 4))
    first = stream()
    before = list(islice(first, stopped))
    after = list(islice(stream(json.loads(json.dumps(first.state()))), 4))
    for one, two in zip(before + after, undisturbed, strict=True):
        assert_same(one, two)


def test_the_order_changes_with_the_seed_and_with_the_epoch() -> None:
    dataset = tokenized([([100 * number], 0) for number in range(30)])
    streams = [PackedStream(dataset, batch=1, length=8, seed=seed) for seed in (0, 1)]
    orders = [traces_in(one_epoch(stream)) for stream in (*streams, *streams)]
    assert len({tuple(order) for order in orders}) == 4


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(50, 60))
def test_packing_uses_every_trace_once_and_overfills_no_row(sizes: list[int], length: int) -> None:
    rows = pack(np.array(sizes, np.int64), length)
    assert sorted(index for row in rows for index in row) == list(range(len(sizes)))
    assert all(0 < sum(sizes[index] for index in row) <= length for row in rows)
    assert sum(sum(sizes[index] for index in row) <= length // 2 for row in rows) <= 1


def test_packing_finds_the_set_that_fills_a_row() -> None:
    """Best-fit decreasing would put the 8 beside the 10 and need a third row."""
    sizes = np.array([10, 8, 5, 5, 7, 5])
    assert [sorted(sizes[row].tolist()) for row in pack(sizes, 20)] == [[5, 5, 10], [5, 7, 8]]


def test_the_fullest_rows_do_not_come_first() -> None:
    """Else the loss curve would be a saw, and a short training would see long traces only."""
    dataset = tokenized([(list(range(size)), 0) for size in range(1, 8)])
    firsts = set()
    stream = PackedStream(dataset, batch=1, length=8, seed=0)
    for _ in range(20):
        firsts.add(int((one_epoch(stream)[0].tokens > 0).sum()))
    assert len(firsts) > 1


@given(datasets(), st.one_of(st.floats(0, 0.5), st.integers(1, 5)), st.integers(0, 5))
def test_what_is_held_out_is_never_trained_on(dataset: TokenizedDataset, part: float, seed: int) -> None:
    if (part if part >= 1 else part * len(dataset)) > len(dataset) - 1:
        return
    train, held = held_out(dataset, part, seed)
    assert sorted([*train, *held]) == list(range(len(dataset)))
    assert len(held) >= part if part >= 1 else len(held) >= part * len(dataset)
    again = held_out(dataset, part, seed)
    assert np.array_equal(again[0], train)
    assert np.array_equal(again[1], held)
    stream = PackedStream(dataset, train, batch=1, length=12, seed=seed)
    assert sorted(traces_in(one_epoch(stream))) == train.tolist()


@pytest.mark.parametrize("part", [3, 4, 0.99, -1])
def test_a_part_that_leaves_nothing_to_train_on_is_refused(part: float) -> None:
    with pytest.raises(InputError, match="of 3 traces cannot be held out"):
        held_out(tokenized([([1, number], 1) for number in range(3)]), part, 0)
    with pytest.raises(InputError, match="of 3 distinct traces cannot be held out"):
        held_out(tokenized([([1, number], 1) for number in range(3)] * 4), part, 0)


@given(st.lists(st.integers(0, 9), min_size=4).filter(lambda kinds: len(set(kinds)) > 3), st.integers(0, 5))
def test_no_copy_of_what_is_held_out_is_trained_on(kinds: list[int], seed: int) -> None:
    """Copies of a trace go together, and count as one: a share of the distinct ones is held out."""
    dataset = tokenized([([kind, kind, 7], 1) for kind in kinds])
    train, held = ({kinds[index] for index in indices} for indices in held_out(dataset, 0.25, seed))
    assert not train & held
    assert train | held == set(kinds)
    assert len(held) == -(-len(set(kinds)) // 4)


@pytest.mark.parametrize("weight", [2, 1.5, 2.5])
def test_a_mixture_with_weights_holds_out_whole_traces(weight: float, tmp_path: Path) -> None:
    rows = [{"trace_id": f"t{number}", "prompt": f"{number}?", "completion": "!"} for number in range(40)]
    write_jsonl(tmp_path / "part-v1.jsonl", rows)
    mixture = write_mixture([Part(load_dataset(str(tmp_path / "part-v1.jsonl")), weight)], 0, tmp_path)
    prompts = [trace.question for trace in mixture.traces()]
    dataset = tokenized([(list(prompt.encode()), 1) for prompt in prompts])
    train, held = ({prompts[index] for index in indices} for indices in held_out(dataset, 0.2, 0))
    assert (len(prompts), len(held), train & held) == (40 * weight, 8, set())


def test_a_set_without_copies_is_split_as_it_always_was() -> None:
    dataset = tokenized([([number, 1], 1) for number in range(50)])
    train, held = held_out(dataset, 0.1, 0)
    assert held.tolist() == np.sort(np.random.Generator(np.random.PCG64((3, 0))).permutation(50)[:5]).tolist()
    assert sorted([*train, *held]) == list(range(50))


@given(datasets(), LENGTHS, st.integers(1, 4), st.booleans())
def test_evaluation_sees_every_held_out_trace_once_and_pads_the_last_batch(
    dataset: TokenizedDataset, length: int, rows: int, packing: bool
) -> None:
    chosen = np.arange(0, len(dataset), 2)
    batches = list(evaluation_batches(dataset, chosen, batch=rows, length=length, packing=packing))
    assert sorted(traces_in(batches)) == chosen.tolist()
    assert all(batch.tokens.shape == (rows, length) for batch in batches)
    assert all((batch.targets[batch.segments == 0] == -1).all() for batch in batches)
    for one, two in zip(
        batches, evaluation_batches(dataset, chosen, batch=rows, length=length, packing=packing), strict=True
    ):
        assert_same(one, two)


@given(datasets())
def test_an_epoch_bears_as_much_loss_as_the_dataset_says(dataset: TokenizedDataset) -> None:
    batches = one_epoch(PackedStream(dataset, batch=1, length=24, seed=0))
    assert sum(int((batch.segments > 0).sum()) for batch in batches) == dataset.total_tokens
    assert sum(int((batch.targets >= 0).sum()) for batch in batches) == dataset.loss_tokens


def test_a_trace_that_does_not_fit_is_named_with_the_length_it_needs(tmp_path: Path) -> None:
    source = tmp_path / "mine-v1.jsonl"
    source.write_text('{"trace_id": "short"}\n{"trace_id": "long"}\n{"trace_id": "other"}\n')
    dataset = tokenized([([1, 2], 1), (list(range(9)), 3), ([1], 0)], source)
    with pytest.raises(InputError) as caught:
        PackedStream(dataset, batch=1, length=8, seed=0)
    assert str(caught.value) == (
        f"{source}: 1 of 3 traces have more tokens than train.sequence_length = 8: the longest is long with "
        '9. train.sequence_length = 64 holds all of them; train.on_too_long = "drop" leaves out 1; '
        '"truncate" cuts their ends off, the end token included.'
    )


def test_traces_that_are_too_long_are_dropped_or_cut_and_counted() -> None:
    """The second is too long by its answer, the third by its question, which leaves nothing to learn."""
    dataset = tokenized([([1, 2, 3], 1), ([4, 5, 6, 7, 8, 9], 2), ([10, 11, 12, 13, 14, 15], 5)])
    assert fit(dataset, 6, "refuse") == Fitted(dataset)
    dropped, cut = fit(dataset, 4, "drop"), fit(dataset, 4, "truncate")
    assert (dropped.dropped, dropped.truncated) == (2, 0)
    assert (cut.dropped, cut.truncated) == (1, 1)
    for found, expected in ((dropped, [[1, 2, 3]]), (cut, [[1, 2, 3], [4, 5, 6, 7]])):
        batches = one_epoch(PackedStream(found.dataset, batch=1, length=4, seed=0, packing=False))
        assert sorted(tokens for tokens, _, _ in segments(batches)) == expected
    with pytest.raises(InputError, match="no trace is left to train on: all 3 have more tokens than 2"):
        fit(dataset, 2, "drop")


def test_an_id_beyond_the_embedding_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    source = tmp_path / "mine-v1.jsonl"
    source.write_text('{"trace_id": "a"}\n{"trace_id": "b"}\n')
    dataset = tokenized([([1, 2], 1), ([3, 64], 1)], source)

    class Names:
        def convert_ids_to_tokens(self, token: int) -> str:
            return f"<t{token}>"

    check_ids(dataset, Names(), rows=65)
    with pytest.raises(InputError, match=r"trace b has token '<t64>' with id 64, .* embedding has 64 rows"):
        check_ids(dataset, Names(), rows=64)


def test_two_hundred_thousand_traces_are_streamed_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.data.stream.WINDOW_TRACES", 10_000)
    count = 200_000
    sizes = np.random.default_rng(0).integers(10, 60, count)
    total = int(sizes.sum())
    tokens = np.lib.format.open_memmap(tmp_path / "tokens.npy", "w+", np.uint16, (total,))
    bears_loss = np.lib.format.open_memmap(tmp_path / "loss.npy", "w+", np.bool_, (total,))
    dataset = TokenizedDataset(
        tokens, bears_loss, np.cumsum(sizes) - sizes, sizes, np.arange(count), tmp_path / "none.jsonl"
    )
    tracemalloc.start()
    try:
        stream = PackedStream(dataset, batch=32, length=128, seed=0)
        filled = [int((batch.segments > 0).sum()) for batch in islice(stream, 60)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6  # the tokens alone, as int32, would be 28 MB, and as lists 56 MB
    assert sum(filled) > 0.98 * 60 * 32 * 128


def test_an_id_used_twice_is_found_even_when_hashes_collide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("golden.datasets.hash", lambda _: 7, raising=False)
    rows = [
        {"trace_id": name, "prompt": "p", "steps": [], "final_answer": "1", "category": "c"}
        for name in ("a", "b", "c", "b")
    ]
    path = tmp_path / "mine-v1.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = read_items(path)
    assert [item.trace_id for item in islice(items, 3)] == ["a", "b", "c"]
    with pytest.raises(
        InputError, match=r"mine-v1.jsonl:4: trace_id: b was already used on line 2\. Ids are unique\."
    ):
        next(items)
