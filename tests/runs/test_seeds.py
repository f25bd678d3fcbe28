"""Runs with seeds of single streams: what they are, what they are called, and their numbers."""

import pytest
from polars.testing import assert_frame_equal

from pipeline.config import Execution, Seeds, read_params
from pipeline.errors import Interrupted
from pipeline.files import labels_folder
from pipeline.grids.batch import freeze, read_batch
from pipeline.grids.cells import cell_texts, cells
from pipeline.noise.label_table import open_table
from pipeline.results.keys import title
from pipeline.runs.planning import Planner
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.methods import load_method
from tests.support.lab import PARAMS, write_params
from tests.support.runs import numbers, planned, row, run, stop_at_step

TRAINING = ("split", "init", "order", "augment", "method")
SHORT = {"epochs": 1, "crop_padding": 1, "flip": True, "val_rate": 0.2}


def test_a_stream_that_is_set_is_another_run_of_the_same_group(lab):
    plain = planned(**SHORT)
    others = [planned(**SHORT, seeds={stream: 5}) for stream in Seeds.model_fields]
    assert len({plain.key, *(other.key for other in others)}) == 7
    assert {other.row["group"] for other in others} == {plain.row["group"]}
    for stream, other in zip(Seeds.model_fields, others, strict=True):
        assert other.row[f"seed_{stream}"] == 5
        assert title(other.row) == f"{title(plain.row)}, {stream} 5"


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": {"order": 0, "method": 0}},  # those of the root seed
        {"seeds": {"noise": 1}},  # that of the entry
        {"seeds": {"split": 4}, "val_rate": 0.0},  # nothing is split
        {"seeds": {"noise": 4}, "noise": "clean"},  # nothing is drawn
    ],
)
def test_seeds_that_change_no_number_are_as_if_they_were_not_set(lab, change):
    found = planned(**SHORT | change)
    plain = planned(**SHORT | {name: value for name, value in change.items() if name != "seeds"})
    assert (found.key, found.row) == (plain.key, plain.row)


def test_a_draw_of_the_labels_is_a_table_of_its_own_beside_that_of_the_entry(lab):
    usual, drawn = planned(**SHORT), planned(**SHORT, seeds={"noise": 5})
    assert usual.row["entry_labels_digest"] is None
    assert drawn.row["entry_labels_digest"] == usual.row["labels_digest"]
    table = open_table(labels_folder("digits", "symmetric-40", 5))
    assert table.card.labels_digest == drawn.row["labels_digest"] != usual.row["labels_digest"]
    assert (table.card.name, table.card.seed) == ("symmetric-40.draw-5", 5)
    entry = {"kind": "symmetric", "rate": 0.4, "seed": 5}
    write_params(lab, PARAMS | {"noise": {"again": entry}})
    assert planned(**SHORT, noise="again").key == drawn.key


def test_flags_blocks_and_files_set_streams_one_by_one(lab):
    write_params(lab, PARAMS | {"run": PARAMS["run"] | {"seeds": {"init": 4, "order": 4}}})
    method = load_method("robust_loss")
    words = ["--seeds.order", "3", "--seeds.noise", "2"]
    resolved, _ = parse_flags(method, words, read_params())
    assert resolved.settings.seeds.set_apart == {"noise": 2, "init": 4, "order": 3}
    assert resolved.noise.seed == 2


def test_cells_of_a_grid_cross_streams_and_are_told_apart(lab):
    grid = PARAMS["grid"] | {
        "seeds": {"noise": [1, 2], "order": [0, 3]},
        "runs": [{"method": "robust_loss", "loss": "ce", "seeds": {"augment": 9}}],
    }
    write_params(lab, PARAMS | {"grid": grid})
    params = read_params()
    found = cells(params)
    texts = [text.partition("seed ")[2] for text in cell_texts(found).values()]
    assert texts == [
        "0, augment 9", "0, order 3, augment 9",
        "0, noise 2, augment 9", "0, noise 2, order 3, augment 9",
    ]  # fmt: skip
    assert len({cell.row["group"] for cell in found}) == 1
    batch = freeze(
        found, [0] * 4, [None] * 4, engine="local", execution=Execution(grid="tiny"),
        params=params, params_file=lab / "params.yaml", n_cells=4,
    )  # fmt: skip
    assert labels_folder("digits", "symmetric-40", 2) / "card.json" in batch.cards
    for cell, frozen in zip(found, read_batch(batch.folder).cells, strict=True):
        assert frozen.planned(Planner(params, makes=False)).row == cell.row


@pytest.mark.slow
def test_all_streams_at_one_seed_give_the_numbers_of_that_root_seed(lab):
    first = run(**SHORT, seeds=dict.fromkeys(TRAINING, 3))
    second = run(**SHORT, seed=3)
    assert first.key != second.key
    for found, expected in zip(numbers(first.key), numbers(second.key), strict=True):
        assert_frame_equal(found.drop("key"), expected.drop("key"), check_exact=True)


@pytest.mark.slow
def test_each_stream_moves_the_numbers_and_resumes_where_it_was(lab, monkeypatch):
    settings = {"method": "sln", "sigma": 0.5, "epochs": 2, "crop_padding": 1, "val_rate": 0.2,
                "backbone": "small-cnn", "batch_size": 64}  # fmt: skip
    losses = {run(**settings).key}
    keys = [run(**settings, seeds={stream: 3}).key for stream in Seeds.model_fields]
    losses = {tuple(numbers(key)[0]["train_loss"]) for key in [*losses, *keys]}
    assert len(losses) == 7
    crossed = settings | {"seeds": {"order": 3, "augment": 4, "method": 5, "noise": 6, "init": 7}}
    untouched = run(**crossed)
    expected = numbers(untouched.key)
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    with monkeypatch.context() as patched:
        stop_at_step(patched, 20)
        with pytest.raises(Interrupted):
            run(**crossed)
    again = run(**crossed)
    assert row(again.key)["resumed"] == 1
    for one, other in zip(numbers(again.key), expected, strict=True):
        assert_frame_equal(one, other, check_exact=True)
