"""What holds for every method, found by itself: a stop changes nothing, nor do two processes."""

import pytest
from polars.testing import assert_frame_equal

from pipeline.errors import Interrupted
from pipeline.files import methods_folder
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method
from tests.support.lab import PARAMS, write_params
from tests.support.launched import in_its_middle, kill_all
from tests.support.programs import finish, launch
from tests.support.runs import numbers, row, run, stop_at_step
from tests.support.tiny_encoder import ENTRY

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
COMMON = {"backbone": "small-cnn", "epochs": 3, "batch_size": 128, "crop_padding": 1}
ALONE = {
    "simclr": {"head_norm": "layer"},
    "representation_regularization": {"info_nce_weight": 0.0},
    "ssr": {"optimizer": "sgd", "lr": 0.05},
    "sop": {"optimizer": "sgd", "lr": 0.05},
}
"""What lets several processes compute what one does: nothing that couples one's own samples, and no
gradient that is zero but for rounding, from which Adam's first steps are as long as any."""
C2D = {
    "divide": "before_each", "threshold": 0.03, "keep_both_sides": True, "mixture_iterations": 200,
    "average_losses": True, "clip_norm": 1.0, "clip_warm_up": True,
}  # fmt: skip
"""All switches of the code of C2D."""
VARIANTS = [
    ("elr", {"plus": True}),
    ("elr", {"plus": True, "teachers": "epoch_copies", "mix_alpha": 0.0}),
    ("sop", {"plus": True}),
    ("co_teaching", {"plus": True, "plus_from": 1}),
    ("co_teaching", {"rate_from": "hoc", "encoder": "simclr-digits"}),
    ("dividemix", {"warm_up": 1}),
    ("promix", {"warm_up": 1, "guess_from": 2, "threshold": 0.2, "keep_rate": 0.2}),
    # Chosen so that no sample lies on the threshold, where rounding would change its side.
    ("dividemix", {"warm_up": 1, "divide": "before_each", "average_losses": True}),
    ("dividemix", {"warm_up": 1, "divide": "before_each", "labelled_only": True}),
    ("ssr", {"consistency_weight": 0.0}),
    ("dividemix", {"warm_up": 1, "start_from": "simclr-digits"} | C2D),
    ("pes", {"semi": True}),
    ("robust_loss", {"loss": "ce", "rrm": True, "rrm_rate": 0.3}),
    ("elr", {"rrm": True, "rrm_gamma": 0.5, "rrm_step": 0.5}),
]  # fmt: skip
CASES = [
    pytest.param(name, own, id="-".join([name, *map(str, own.values())]), marks=pytest.mark.slow)
    for name, own in [*((name, {}) for name in METHODS), *VARIANTS]
]


@pytest.fixture
def with_encoder(lab):
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})
    return lab


def settings_of(name, own):
    found = COMMON | ALONE.get(name, {}) | own
    fields = load_method(name).Settings.model_fields
    if "projection_norm" in fields:
        found["projection_norm"] = "layer"
    return found


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


def typed(settings):
    words = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [
            f"--{flag}={value}"]  # fmt: skip
    return words


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
