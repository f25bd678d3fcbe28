"""What goes wrong in one cell, or beside a grid, costs no other cell."""

import threading
from collections import Counter

import numpy as np
import pytest

from pipeline.config import Execution, read_params
from pipeline.errors import LabError
from pipeline.grids.cells import cells, place_name
from pipeline.results.claims import claim
from pipeline.results.store import Store
from pipeline.storage.places import store_place
from tests.support.data_files import write_class_folders
from tests.support.engines import compute, local
from tests.support.lab import PARAMS, write_params
from tests.support.runs import row

QUIET = Execution(tracking=False)
GOOD = {"method": "robust_loss", "loss": "ce", "epochs": 1}


def write_grid(folder, *runs, **params):
    write_params(folder, PARAMS | params | {"grid": PARAMS["grid"] | {"runs": list(runs)}})


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failed_cell_is_a_row_and_the_others_follow(lab, workers):
    write_grid(lab, GOOD | {"val_rate": 0.0001}, GOOD, GOOD | {"loss": "dal"})
    all_cells = cells(read_params())
    ended = compute(all_cells, local(workers), read_params())
    assert ended == Counter(failed=1, done=2)
    failed = row(all_cells[0].key)
    assert failed["status"] == "failed"
    assert "val_rate" in failed["status_detail"]
    # It is tried again by the next start.
    assert compute(all_cells) == Counter(failed=1)


def test_a_failed_encoder_is_said_in_the_rows_of_its_cells(lab):
    diverging = {"kind": "run", "method": "robust_loss", "loss": "ce", "epochs": 1,
                 "optimizer": "sgd", "lr": 1000.0}  # fmt: skip
    write_grid(lab, GOOD | {"start_from": "bad"}, GOOD, encoders={"bad": diverging})
    all_cells = cells(read_params())
    assert compute(all_cells) == Counter(failed=1, done=1)
    assert "encoder bad" in row(all_cells[0].key)["status_detail"]


@pytest.mark.slow
def test_a_grid_runs_as_it_was_planned_whatever_becomes_of_params(lab):
    write_grid(lab, GOOD | {"loss": ["ce", "dal"]})
    params = read_params()
    all_cells = cells(params)
    (lab / "params.yaml").write_text("noise: {half a file")
    assert compute(all_cells, local(2), params) == Counter(done=2)


def test_labels_that_change_while_a_grid_runs_are_noticed(lab):
    write_grid(lab, GOOD | {"loss": ["ce", "dal"]})
    all_cells = cells(read_params())
    noise = PARAMS["noise"] | {"symmetric-40": {"kind": "symmetric", "rate": 0.4, "seed": 2}}
    write_grid(lab, GOOD | {"loss": ["ce", "dal"]}, noise=noise)
    cells(read_params())  # makes the other labels under the same name
    assert compute(all_cells) == Counter(failed=2)
    assert Store().runs().collect().is_empty()


@pytest.mark.slow
def test_a_cell_that_another_program_computes_is_waited_for(lab):
    write_grid(lab, GOOD)
    all_cells = cells(read_params())
    other = claim(store_place(), all_cells[0].key)
    threading.Timer(1.5, other.release).start()
    assert compute(all_cells) == Counter(done=1)


def test_two_names_of_one_label_table_are_one_run_and_two_rows(lab):
    from pipeline.results.view import read_views, write_view

    noise = PARAMS["noise"] | {"alias": PARAMS["noise"]["symmetric-40"]}
    grid = PARAMS["grid"] | {"runs": [GOOD], "noises": ["symmetric-40", "alias"]}
    write_params(lab, PARAMS | {"noise": noise, "grid": PARAMS["grid"] | {"runs": [GOOD]}})
    compute(cells(read_params()))
    write_params(lab, PARAMS | {"noise": noise, "grid": grid})
    both = cells(read_params())
    assert compute(both) == Counter()
    write_view([cell.key for cell in both], lab / "view.parquet")
    assert sorted(read_views([lab / "view.parquet"]).runs.collect()["noise"]) == [
        "alias", "symmetric-40",
    ]  # fmt: skip


def test_noise_is_not_drawn_over_labels_that_may_be_wrong_and_the_rest_of_the_grid_runs(
    lab, capsys
):
    stream = np.random.default_rng(0)
    for split, n in (("train", 12), ("test", 4)):
        images = stream.integers(0, 256, (2 * n, 8, 8, 3), dtype=np.uint8)
        write_class_folders(lab / "mine" / split, images, ["cat", "dog"] * n)
    mine = {"kind": "imagefolder", "root": "mine", "image_size": 8}
    grid = PARAMS["grid"] | {"runs": [GOOD | {"batch_size": 8}], "datasets": ["digits", "mine"],
                             "noises": ["clean", "symmetric-40"]}  # fmt: skip
    datasets = PARAMS["datasets"] | {"mine": mine}
    write_params(lab, PARAMS | {"datasets": datasets, "grid": grid})
    found = cells(read_params())
    assert [place_name(cell) for cell in found] == [
        "digits/clean", "digits/symmetric-40", "mine/clean",
    ]  # fmt: skip
    assert "mine/symmetric-40" in capsys.readouterr().err
    write_params(
        lab,
        PARAMS
        | {"datasets": datasets, "grid": grid | {"datasets": ["mine"], "noises": ["symmetric-40"]}},
    )
    with pytest.raises(LabError, match="nothing left of grid tiny.*noises: \\[clean\\]"):
        cells(read_params())
