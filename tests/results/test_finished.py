"""The note that a grid is finished: damaged or out of date, it counts as absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.results.finished import finished_cells, note_finished
from pipeline.results.store import Store
from tests.support.lab import PARAMS, write_params
from tests.support.results_builder import add_run, path_of


@pytest.fixture
def grid(lab: Path) -> tuple[Path, Path, list[str]]:
    """View, params.yaml and keys of a finished grid."""
    keys = [add_run(Store(), seed=seed) for seed in range(2)]
    view = lab / "results" / "views" / "tiny.parquet"
    view.parent.mkdir(parents=True)
    view.write_bytes(b"")
    card = lab / "data" / "digits" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    note_finished(view, lab / "params.yaml", keys, "facts")
    return view, lab / "params.yaml", keys


def note_of(view: Path) -> Path:
    return view.parent.with_name("finished") / "tiny.json"


def test_it_holds_for_the_facts_about_sources_that_it_was_written_under(grid) -> None:
    view, params, _ = grid
    assert finished_cells(view, params, Store(), "facts") == 2
    assert finished_cells(view, params, Store(), "other facts") == 0
    assert finished_cells(view, params, Store()) == 0
    write_params(params.parent, PARAMS | {"engines": {"mine": {"kind": "slurm"}}})
    assert finished_cells(view, params, Store(), "facts") == 2
    write_params(params.parent, PARAMS | {"run": {"seed": 3}})
    assert finished_cells(view, params, Store(), "facts") == 0


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b"3", b"\"text\"", b"{}", b"\xff\xfe\x00", b"[" * 100_000,
        b"9" * 5000, b'{"circumstances": 1, "keys": []}', b'{"circumstances": "x"}',
    ],
)  # fmt: skip
def test_a_damaged_note_counts_as_absent(grid, content: bytes) -> None:
    view, params, keys = grid
    note_of(view).write_bytes(content)
    assert finished_cells(view, params, Store(), "facts") == 0
    note_finished(view, params, keys, "facts")
    assert finished_cells(view, params, Store(), "facts") == 2


@pytest.mark.parametrize("keys", [None, 1, "r1", {"a": 1}, [1], [None], [["r1"]], ["../x"], [""]])
def test_keys_of_another_kind_count_as_absent(grid, keys: object) -> None:
    view, params, _ = grid
    note = json.loads(note_of(view).read_text())
    note_of(view).write_text(json.dumps(note | {"keys": keys}))
    assert finished_cells(view, params, Store(), "facts") == 0


def test_files_that_vanish_or_cannot_be_read_are_a_change(grid, lab: Path) -> None:
    view, params, _ = grid
    card = lab / "data" / "digits" / "card.json"
    card.unlink()
    card.mkdir()
    assert finished_cells(view, params, Store(), "facts") == 0
    card.rmdir()
    (card).symlink_to(lab / "nowhere")
    assert finished_cells(view, params, Store(), "facts") == 0
    note_of(view).unlink()
    note_of(view).mkdir()
    assert finished_cells(view, params, Store(), "facts") == 0


def test_a_store_that_cannot_be_read_leaves_the_answer_open(grid) -> None:
    view, params, keys = grid
    path_of(Store(), "runs", keys[0]).write_bytes(b"damaged")
    assert finished_cells(view, params, Store(), "facts") == 0
