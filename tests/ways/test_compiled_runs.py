"""What holds for every method, found by itself: its networks compile once for each kind of call."""

import pytest

from pipeline.files import methods_folder
from tests.support.counted_compile import counting
from tests.support.lab import PARAMS, write_params
from tests.support.runs import run
from tests.support.tiny_encoder import ENTRY

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
COMMON = {"backbone": "small-cnn", "epochs": 3, "batch_size": 128, "crop_padding": 1}
VARIANTS = [
    ("sln", {"correction": True, "correct_from": 1}),
    ("elr", {"plus": True}),
    ("dividemix", {"warm_up": 1, "threshold": 0.1, "keep_both_sides": True}),
    ("promix", {"warm_up": 1}),
    ("disc", {"warm_up": 1}),
    ("pes", {"semi": True}),
    ("lra_diffusion", {"query": "re-encoded"}),
    ("robust_loss", {"loss": "ce", "averaging": 0.9}),
]
CASES = [
    pytest.param(name, own, id="-".join([name, *map(str, own.values())]), marks=pytest.mark.slow)
    for name, own in [*((name, {}) for name in METHODS), *VARIANTS]
]
NO_NETWORK = {"feature_classifier"}


@pytest.mark.parametrize(("name", "own"), CASES)
def test_a_run_compiles_each_kind_of_call_once(lab, monkeypatch, capfd, name, own):
    write_params(lab, PARAMS | {"encoders": {"simclr-digits": ENTRY}})
    counted = counting(monkeypatch)
    assert run(name, {"compile": "default"}, **COMMON, **own).ending == "done"
    said = capfd.readouterr().err
    if name in NO_NETWORK:
        assert "nothing to compile" in said
        return
    assert "is not compiled" not in said
    assert max(counted.compiled.values()) == 1
    calls = {True: 0, False: 0}
    for (_, _, gradient, _), n in counted.called.items():
        calls[gradient] += n
    # Of three epochs, each with ten full batches and at least one evaluation.
    assert calls[True] >= 10
    assert calls[False] >= 3
