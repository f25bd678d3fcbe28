"""The record of a run: what stands stays, sittings add up, nothing is promised and not kept."""

import time

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.errors import Interrupted, LabError
from pipeline.results.store import Store
from pipeline.runs.pretraining import make_encoder
from pipeline.training.processes import Processes
from tests.support.lab import PARAMS, write_params
from tests.support.runs import numbers, planned, row, run, stop_at_step

CE = {"kind": "run", "method": "robust_loss", "loss": "ce", "epochs": 1, "val_rate": 0.0}
ONE = {"epochs": 1, "val_rate": 0.0}


@pytest.mark.parametrize("how", [{"force": True}, {"keep_weights": True}, {"posterior": True}])
def test_a_result_that_stands_is_kept_until_the_new_one_is_whole(lab, monkeypatch, how):
    key = run().key
    before = numbers(key)
    with monkeypatch.context() as stopped:
        stop_at_step(stopped, 3)
        with pytest.raises(Interrupted):
            run(execution=how)
    assert row(key)["status"] == "done"
    for old, new in zip(before, numbers(key), strict=True):
        assert_frame_equal(old, new)
    assert run(execution=how).ending == "done"


def test_sittings_add_up(lab, monkeypatch):
    began = time.time()
    for step in (10, 15):
        with monkeypatch.context() as stopped:
            stop_at_step(stopped, step)
            with pytest.raises(Interrupted):
                run()
        time.sleep(0.3)  # between sittings
    key = run().key
    stored = row(key)
    assert stored["resumed"] == 2
    assert stored["started_at"].timestamp() - began < 5
    trained = Store().epochs([key]).select(pl.col("seconds").sum()).collect().item()
    assert trained <= stored["seconds"] < time.time() - began - 0.6


def test_an_encoder_of_a_method_that_makes_none_is_refused_before_it_trains(lab):
    none = {"kind": "run", "method": "feature_classifier", "encoder": "warm", "epochs": 1}
    write_params(lab, PARAMS | {"encoders": {"warm": CE, "none": none}})
    with pytest.raises(LabError, match="encoder none: a run of feature_classifier, which makes no"):
        run(start_from="none", **ONE)
    assert Store().runs().collect().is_empty()


@pytest.mark.slow
def test_a_run_that_is_computed_again_renews_what_it_kept_and_asks_for_what_is_missing(lab):
    key = run(**ONE, execution={"keep_weights": True}).key
    folder = lab / "results" / "store" / "encoders" / key
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert set(before) == {"card.json", "weights.safetensors", "model.json", "model.safetensors"}
    run(**ONE, execution={"force": True})
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    # As runs left it before they left models: nobody who asks for less computes it again.
    (folder / "model.json").unlink()
    assert run(**ONE).ending == "stored"
    assert run(**ONE, execution={"keep_weights": True}).ending == "done"
    assert (folder / "model.json").exists()


def test_an_encoder_that_diverged_is_said_each_time_and_never_waited_for(lab):
    write_params(lab, PARAMS | {"encoders": {"warm": CE | {"optimizer": "sgd", "lr": 1000.0}}})
    asking = planned(start_from="warm", **ONE)
    for _ in range(2):
        with pytest.raises(LabError, match=r"encoder warm: its training diverged.*try: a lower lr"):
            run(start_from="warm", **ONE)
    with pytest.raises(LabError, match="diverged"):
        make_encoder(asking.inputs.encoders["start_from"], _quiet(), Processes())


def _quiet():
    from pipeline.config import Execution

    return Execution(tracking=False)


def test_softmax_outputs_of_a_stored_run_are_computed_when_they_are_asked_for(lab):
    key = run(**ONE).key
    folder = lab / "results" / "store" / "posteriors" / key
    assert not folder.exists()
    assert run(**ONE, execution={"posterior": True}).ending == "done"
    assert sorted(path.name for path in folder.iterdir()) == ["last.npy", "mean.npy"]
    assert run(**ONE, execution={"posterior": True}).ending == "stored"


def test_a_run_under_another_name_of_its_labels_says_where_it_stands(lab):
    noise = PARAMS["noise"] | {"alias": PARAMS["noise"]["symmetric-40"]}
    write_params(lab, PARAMS | {"noise": noise})
    first, second = run(**ONE), run(noise="alias", **ONE)
    assert (second.key, second.ending) == (first.key, "stored")
    assert "symmetric-40" in second.detail
    assert row(first.key)["also_named"] == ["digits/alias"]
    run(noise="alias", **ONE)
    assert row(first.key)["also_named"] == ["digits/alias"]


def test_seeds_of_a_run_whose_encoder_follows_it_are_one_group(lab):
    write_params(lab, PARAMS | {"encoders": {"warm": CE, "fixed": CE | {"seed": 5}}})
    groups = {
        name: {planned(start_from=name, seed=seed, **ONE).row["group"] for seed in (0, 1)}
        for name in ("warm", "fixed")
    }
    assert {name: len(found) for name, found in groups.items()} == {"warm": 1, "fixed": 1}
    assert groups["warm"] != groups["fixed"]


def test_labels_of_which_fewer_are_wrong_are_knowledge_of_an_encoder(lab):
    noise = PARAMS["noise"] | {"symmetric-20": {"kind": "symmetric", "rate": 0.2},
                               "symmetric-60": {"kind": "symmetric", "rate": 0.6}}  # fmt: skip
    encoders = {rate: CE | {"noise": f"symmetric-{rate}"} for rate in ("20", "60")}
    named = {f"warm-{rate}": entry for rate, entry in encoders.items()}
    write_params(lab, PARAMS | {"noise": noise, "encoders": named})
    assert planned(start_from="warm-20", **ONE).row["knows"] == ["clean_labels"]
    assert planned(start_from="warm-60", **ONE).row["knows"] == []
