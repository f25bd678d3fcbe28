"""What holds for every method, found by itself: a stop changes nothing, nor do two processes."""

import pytest
from polars.testing import assert_frame_equal

from pipeline.errors import Interrupted
from pipeline.results.store import Store
from tests.support.every_method import METHODS, VARIANTS, settings_of, typed
from tests.support.lab import PARAMS, write_params
from tests.support.launched import in_its_middle, kill_all
from tests.support.programs import finish, launch
from tests.support.runs import numbers, row, run, stop_at_step
from tests.support.tiny_encoder import ENTRY

CASES = [
    pytest.param(name, own, id="-".join([name, *map(str, own.values())]), marks=pytest.mark.slow)
    for name, own in [*((name, {}) for name in METHODS), *VARIANTS]
]


@pytest.fixture
def with_encoder(lab):
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})
    return lab


@pytest.mark.parametrize(("name", "own"), CASES)
def test_a_stop_at_any_third_of_the_run_changes_no_bit(with_encoder, monkeypatch, name, own):
    settings = settings_of(name, own)
    with monkeypatch.context() as counted:
        steps = stop_at_step(counted, -1)
        whole = numbers(run(name, **settings).key)
    n_steps = steps.count(steps[-1])  # without those of an encoder
    monkeypatch.setenv("LNL_STORE", str(with_encoder / "second"))
    # Each sitting takes a bit less than a third of the steps: within epochs and phases.
    for _ in range(3):
        with monkeypatch.context() as stopping:
            stop_at_step(stopping, n_steps // 3 - 1)
            with pytest.raises(Interrupted):
                run(name, **settings)
    key = run(name, **settings).key
    assert row(key)["resumed"] == 3
    for uninterrupted, resumed in zip(whole, numbers(key), strict=True):
        assert_frame_equal(uninterrupted, resumed, check_exact=True)


# Label diffusion normalises over each process's share: its tests compare what does not.
@pytest.mark.parametrize(
    ("name", "own"), [case for case in CASES if case.values[0] != "lra_diffusion"]
)
def test_two_processes_give_the_rows_of_one(with_encoder, monkeypatch, name, own):
    settings = settings_of(name, own)
    one = run(name, **settings)
    one_epochs, one_samples = numbers(one.key)
    monkeypatch.setenv("LNL_STORE", str(with_encoder / "two"))
    code, out, err = finish(
        *launch(2, *typed(settings), "--no-tracking", method=name), lab=with_encoder
    )
    assert code == 0, err
    assert one.key in out
    assert row(one.key)["n_processes"] == 2
    two_epochs, two_samples = numbers(one.key)
    for column in ("train_loss", "test_loss"):
        expected = pytest.approx(one_epochs[column].to_list(), rel=2e-3)
        assert two_epochs[column].to_list() == expected
    if one_samples["prediction"].null_count() == 0:
        assert (two_samples["prediction"] == one_samples["prediction"]).mean() > 0.98


DIVERGING = [
    *((name, {"warm_up": 1} if name == "dividemix" else {}) for name in METHODS),
    # A network that is lost in its phase is measured in the next one, or at the epoch's end.
    ("dividemix", {"warm_up": 0, "divide": "before_each"}),
    ("dividemix", {"warm_up": 1, "divide": "before_each", "average_losses": True}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "own"), DIVERGING)
def test_a_run_whose_loss_is_no_number_is_stored_as_diverged(with_encoder, name, own):
    # Each step multiplies the weights by about -lr weight_decay.
    faulty = {"optimizer": "sgd", "lr": 1000.0, "weight_decay": 1000.0}
    outcome = run(name, **settings_of(name, own) | faulty)
    assert outcome.ending == "diverged"
    assert row(outcome.key)["status"] == "diverged"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "own"), [("elr", {"plus": True}), ("dividemix", {"warm_up": 1})])
def test_a_killed_run_on_two_processes_goes_on(with_encoder, monkeypatch, name, own):
    settings = settings_of(name, own) | {"epochs": 6}
    flags = (*typed(settings), "--no-tracking")
    code, out, err = finish(*launch(2, *flags, method=name), lab=with_encoder)
    assert code == 0, err
    key = out.split()[1]
    untouched = numbers(key)
    monkeypatch.setenv("LNL_STORE", str(with_encoder / "second"))
    with in_its_middle(with_encoder, 2, *flags, method=name) as (program, ranks):
        kill_all(program, ranks)
    assert Store().run(key)["status"] == "running"
    code, _, err = finish(*launch(2, *flags, method=name), lab=with_encoder)
    assert code == 0, err
    for expected, found in zip(untouched, numbers(key), strict=True):
        assert_frame_equal(expected, found, check_exact=True)
