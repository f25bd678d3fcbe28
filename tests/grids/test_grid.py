"""A grid of runs: the plan equals what then runs, and an edit computes the new cells only."""

import copy
from collections import Counter

import polars as pl
import pytest

from pipeline.config import Execution, read_params
from pipeline.errors import LabError
from pipeline.grids.cells import cells
from pipeline.grids.plan import expected_seconds, plan
from pipeline.results.store import Store
from tests.support.engines import compute, local
from tests.support.lab import PARAMS, write_params
from tests.support.results_builder import path_of

QUIET = Execution(tracking=False)


def planned():
    return plan(cells(read_params()), Store())


def edited(**changes):
    params = copy.deepcopy(PARAMS)
    params["grid"] |= changes
    return params


def test_lists_are_crossed_and_repeats_counted_once(lab):
    block = {"method": "robust_loss", "loss": ["ce", "gce"], "lr": [0.1, 0.01]}
    write_params(lab, edited(runs=[block, {"method": "robust_loss", "loss": "ce", "lr": 0.1}],
                             seeds=[0, 1], noises=["symmetric-40", "pair-40"]))  # fmt: skip
    assert len(cells(read_params())) == 4 * 2 * 2


def test_an_edit_computes_only_what_is_new_and_the_plan_says_so(lab):
    first = planned()
    assert [one.why for one in first] == ["new", "new"]
    assert expected_seconds(first, Store()) is None
    assert compute(cells(read_params())) == Counter(done=2)
    assert planned() == []
    assert compute(cells(read_params())) == Counter()

    write_params(lab, edited(seeds=[0, 1], noises=["symmetric-40"]))
    more = planned()
    assert {cell.settings.seed for cell, *_ in more} == {1}
    assert expected_seconds(more, Store()) > 0
    before = {cell.key for cell, *_ in more}
    compute(cells(read_params()))
    assert before <= set(Store().runs().collect()["key"])
    assert planned() == []


def test_the_plan_names_what_changed(lab):
    run_grid_of_one = edited(runs=[{"method": "robust_loss", "loss": "ce"}])
    write_params(lab, run_grid_of_one)
    planned()
    compute(cells(read_params()))
    write_params(lab, edited(runs=[{"method": "robust_loss", "loss": "ce", "lr": 0.02}]))
    assert [one.why for one in planned()] == ["changed: lr 0.01 -> 0.02"]
    other_labels = copy.deepcopy(run_grid_of_one)
    other_labels["noise"]["symmetric-40"]["seed"] = 2
    write_params(lab, other_labels)
    assert planned()[0].why.startswith("changed: labels_digest")


@pytest.mark.slow
def test_two_workers_compute_what_one_computes(lab, monkeypatch):
    planned()
    assert compute(cells(read_params()), local(2), read_params()) == Counter(done=2)
    both = Store().epochs().drop("seconds").sort("key", "epoch").collect()
    monkeypatch.setenv("LNL_STORE", str(lab / "alone"))
    compute(cells(read_params()))
    alone = Store().epochs().drop("seconds").sort("key", "epoch").collect()
    assert both.equals(alone)


def test_a_diverged_cell_does_not_stop_the_others(lab):
    # Each step multiplies the weights by about -lr weight_decay.
    losses = [{"method": "robust_loss", "loss": "ce", "optimizer": "sgd", "lr": lr,
               "weight_decay": decay} for lr, decay in ((1000.0, 1000.0), (0.1, 0.0))]  # fmt: skip
    write_params(lab, edited(runs=losses))
    planned()
    assert compute(cells(read_params())) == Counter(done=1, diverged=1)
    assert planned() == []


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([{"loss": "ce"}], "a method in every block"),
        ([{"method": "robust_los"}], "try: robust_loss"),
        ([{"method": "robust_loss", "losss": "ce"}], "try: loss"),
    ],
)
def test_a_faulty_block_is_named(lab, runs, words):
    write_params(lab, edited(runs=runs))
    with pytest.raises(LabError, match=words):
        cells(read_params())


def test_the_view_of_a_grid_is_the_same_bytes_whoever_computed_it(lab, monkeypatch):
    from pipeline.results.view import write_view

    planned()
    keys = [cell.key for cell in cells(read_params())]
    compute(cells(read_params()))
    write_view(keys, lab / "a.parquet")
    monkeypatch.setenv("LNL_STORE", str(lab / "again"))
    compute(cells(read_params()))
    write_view(reversed(keys), lab / "b.parquet")
    assert (lab / "a.parquet").read_bytes() == (lab / "b.parquet").read_bytes()
    assert "seconds" not in pl.read_parquet(lab / "a.parquet").columns


def test_a_finished_grid_is_known_until_anything_it_hangs_on_changes(lab):
    from pipeline.config import params_path
    from pipeline.results.finished import finished_cells, note_finished

    view = lab / "results" / "views" / "tiny.parquet"

    def known():
        return finished_cells(view, params_path(), Store())

    assert known() == 0
    planned()
    compute(cells(read_params()))
    keys = [cell.key for cell in cells(read_params())]
    note_finished(view, params_path(), keys)
    assert known() == 0  # no view yet
    view.parent.mkdir(parents=True, exist_ok=True)
    view.write_bytes(b"")
    assert known() == 2
    write_params(lab, edited(seeds=[1]))
    assert known() == 0
    write_params(lab, PARAMS)
    assert known() == 2
    card = lab / "labels" / "digits" / "symmetric-40" / "card.json"
    text = card.read_text()
    card.write_text(text + " ")
    assert known() == 0
    card.write_text(text)
    path_of(Store(), "runs", keys[0]).unlink()
    assert known() == 0
