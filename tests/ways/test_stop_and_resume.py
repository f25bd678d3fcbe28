"""A launched run that is stopped, killed and started again gives the rows of an untouched one."""

import pytest
from polars.testing import assert_frame_equal

from pipeline.results.store import Store
from tests.support.launched import (
    in_its_middle,
    kill_all,
    kill_launcher,
    stop_group,
    stop_one,
)
from tests.support.programs import finish, launch
from tests.support.runs import checkpoint_path, numbers, row

PLAIN = ("--no-tracking", "--crop-padding", "1")
BATCHES = {6: "256", 21: "64"}
"""Batch size by steps per epoch; of 1,293 samples the last step has 13."""
NETWORKS = {"plain": ("small-cnn", "40"), "batch norm": ("timm/test_resnet", "10")}
"""Backbone, and epochs enough to be stopped in."""


def flags_of(steps, network):
    backbone, epochs = NETWORKS[network]
    return (*PLAIN, "--batch-size", BATCHES[steps], "--backbone", backbone, "--epochs", epochs)


def to_its_end(lab, n_processes, flags):
    code, out, err = finish(*launch(n_processes, *flags), lab=lab)
    assert code == 0, err
    return out.split()[1]


def stop(lab, n_processes, flags, how):
    with in_its_middle(lab, n_processes, *flags) as (program, ranks):
        how(program, ranks)
    stored = Store().runs().collect()
    assert stored["status"].to_list() == ["running"]
    key = stored["key"].item()
    assert checkpoint_path(key).exists()
    return key


@pytest.mark.slow
def test_two_processes_with_short_epochs_stop_and_go_on(lab):
    flags = flags_of(6, "batch norm")
    key = stop(lab, 2, flags, stop_group)
    assert to_its_end(lab, 2, flags) == key
    assert numbers(key)[0]["epoch"].to_list() == list(range(10))
    assert not checkpoint_path(key).exists()


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("steps", BATCHES)
@pytest.mark.parametrize("n_processes", [1, 2])
def test_stopped_and_killed_equals_untouched(lab, monkeypatch, n_processes, steps, network):
    flags = flags_of(steps, network)
    untouched = numbers(to_its_end(lab, n_processes, flags))
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    for how in (stop_group, stop_one, kill_launcher, kill_all):
        key = stop(lab, n_processes, flags, how)
    assert to_its_end(lab, n_processes, flags) == key
    assert row(key)["n_processes"] == n_processes
    for expected, found in zip(untouched, numbers(key), strict=True):
        assert_frame_equal(expected, found, check_exact=True)
