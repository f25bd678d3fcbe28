"""Tables of runs with crossed seeds: one row for all of them, pairs by all streams, components."""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path

import polars as pl
import pytest

from analysis.comparison import Comparison, compare
from analysis.layouts.components import lay_out_components, row_components
from analysis.layouts.layout import lay_out
from analysis.layouts.two_rows import lay_out_two_rows, two_rows
from analysis.leaderboard import main
from analysis.single_runs.difference import difference
from analysis.single_runs.listing import list_runs
from pipeline.errors import LabError
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.results_builder import add_run

LABELS = {None: {}, 1: {"labels_digest": "drawn anew", "entry_labels_digest": "usual"}}
USUAL = {"labels_digest": "usual"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def add_cross(store: Store, variant: str, lift: float = 0.0, inits=(None, 1, 2)) -> list[str]:
    """Runs on two draws of the labels, each with three starts."""
    return [
        add_run(
            store, (0.5 + 0.1 * (draw or 0) + 0.01 * (init or 0) ** 2 + lift,), variant=variant,
            seed_noise=draw, seed_init=init, **USUAL | LABELS[draw],
        )
        for draw, init in itertools.product(LABELS, inits)
    ]  # fmt: skip


def read(store: Store) -> Comparison:
    return compare(Results(store.runs(), store.epochs()))


def test_a_row_averages_over_all_seeds(store: Store) -> None:
    add_cross(store, "ce")
    add_cross(store, "dal", 0.2, inits=(1, 2))
    comparison = read(store)
    assert comparison.cells.select("label", "n").rows() == [("ce", 6), ("dal", 4)]
    assert comparison.cells["mean"][0] == pytest.approx(0.55 + 0.05 / 3)
    assert "Seeds are crossed: runs share draws" in lay_out(comparison).caption


def test_rows_that_share_no_draw_are_not_told_apart_by_their_labels(store: Store) -> None:
    add_run(store, (0.5,), variant="ce", settings={"q": 1}, **USUAL)
    add_run(store, (0.6,), variant="ce", settings={"q": 2}, seed_noise=1, **USUAL | LABELS[1])
    assert read(store).cells["label"].to_list() == ["ce (q=1)", "ce (q=2)"]


def test_usual_seeds_are_not_crossed(store: Store) -> None:
    for seed in range(3):
        add_run(store, (0.5,), seed=seed)
    assert "crossed" not in lay_out(read(store)).caption


def test_two_rows_are_paired_on_labels_and_streams(store: Store) -> None:
    add_cross(store, "ce")
    add_cross(store, "dal", 0.2, inits=(2, 1))
    comparison = read(store)
    found = two_rows(comparison, ["dal", "ce"])
    assert found.places["n"].to_list() == [4]
    assert found.places["difference"].to_list() == pytest.approx([0.2])
    assert "Seeds are crossed" in lay_out_two_rows(comparison, found).caption


def test_components_of_a_row(store: Store) -> None:
    add_cross(store, "ce")
    add_run(store, (0.9,), variant="dal")
    comparison = read(store)
    [row] = row_components(comparison)
    found = {one.name: one.variance for one in row.found}
    # Two draws 0.1 apart, and starts at 0, 0.01 and 0.04.
    assert found == pytest.approx({"labels": 0.1**2 / 2, "init": 0.0208**2, "rest": 0}, abs=1e-6)
    layout = lay_out_components(comparison, [row])
    [[labels, init, rest]] = layout.blocks
    assert [cell.text for cell in labels][:5] == ["sym", "ce", "labels", "2", "7.1"]
    assert [block[-1].text for block in (labels, init, rest)] == ["92%", "8%", "0%"]
    assert "Rows in which fewer than two sources vary apart: 1" in layout.caption
    assert "no complete cross" not in layout.caption


def test_streams_that_vary_together_are_one_source_and_gaps_leave_no_interval(
    store: Store,
) -> None:
    values = iter((0.5, 0.6, 0.55, 0.7, 0.66, 0.72, 0.61, 0.63))
    for seed, both in itertools.product(range(3), range(3)):
        if (seed, both) != (2, 2):
            streams = {"seed_order": both, "seed_init": both}
            add_run(store, (next(values),), seed=seed, **streams)
    comparison = read(store)
    [row] = row_components(comparison)
    assert [one.name for one in row.found] == ["seed", "init+order", "rest"]
    layout = lay_out_components(comparison, [row])
    assert {line[-2].text for line in layout.rows} == {"–"}
    assert "Rows whose runs are no complete cross: 1" in layout.caption


def test_without_crossed_seeds_there_is_nothing_to_tell(store: Store) -> None:
    for seed in range(3):
        add_run(store, (0.5 + 0.1 * seed,), seed=seed)
    with pytest.raises(LabError, match="no row of which two sources of spread vary"):
        row_components(read(store))


def test_the_leaderboard_prints_components(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_cross(store, "ce")
    words = ["leaderboard", "--store", str(store.place.folder), "--components"]
    monkeypatch.setattr(sys, "argv", [*words, "--format", "csv"])
    main()
    found = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert found["source"].to_list() == ["labels", "init", "rest"]
    assert found["n_levels"].to_list() == [2, 3, 6]
    monkeypatch.setattr(sys, "argv", [*words, "--compare", "ce", "dal"])
    with pytest.raises(SystemExit):
        main()
    assert "--components with --compare" in capsys.readouterr().err


def test_lists_and_pairs_of_runs_say_which_streams_are_set(store: Store) -> None:
    keys = add_cross(store, "ce")
    layout = list_runs(Results(store.runs(), store.epochs()), {}, (), 0)
    at = layout.header.index("seed")
    seeds = {row[at].text for row in layout.rows}
    assert seeds == {"0", "0, init 1", "0, init 2", "0, noise 1", "0, noise 1, init 1",
                     "0, noise 1, init 2"}  # fmt: skip
    rows = [store.run(key) for key in (keys[0], keys[-1])]
    epochs = {key: store.epochs([key]).collect() for key in keys}
    shown = difference(*rows, epochs)
    names = [row[0].text for row in shown.rows]
    assert [name for name in names if name.startswith("seed")] == ["seed_noise", "seed_init"]
    assert "seed 0, noise 1, init 2" in shown.caption
