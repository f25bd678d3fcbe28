"""Losses against reference numbers and a typed table.

reference/losses_reference.npz holds inputs and outputs of the official DAL code (snapshot 3f5acc7,
torch 2.15, CPU) on 64 normal logits, for K = 10 (`c10.`) and K = 100 (`c100.`) classes:
  logits [64, K] float64 and y [64]; float32 inputs are these logits rounded;
  cases [38] names, and in the same order loss64, loss32 [38], gradient_norm [38] (L2 norm of
  d loss / d logits over the batch, float64), gradient [38, rows, K] (its first 24 rows for K = 10,
  2 for K = 100, float64; float32 gradients of that code agree with it to 1e-6 of the largest);
  <nlnl case>.y_complementary [64, N] recorded draws, <nlnl case>.counts [K] given labels per class.
"""

from functools import partial

import numpy as np
import pytest
import torch

from methods import losses
from tests.support.losses_cases import DEFAULTS, REFERENCE_CASES, Loss, evaluate, wave
from tests.support.paths import REFERENCES

# Loss L and norm |g| of its gradient: float32 results of the same official code for the logits of
# `wave` with K classes at scale s.
TABLE = """\
loss            K      L, s=4            |g|     L, s=40            |g|
ce             10    4.658279    3.820435e-1   38.042633    4.470662e-1
ce            100    6.972165    2.514216e-1   41.067089    2.625502e-1
mae            10    0.921056    4.024335e-2    0.910660    3.569429e-2
mae           100    0.989230    4.556451e-3    0.994861    3.926639e-3
gce            10    1.238301    6.279763e-2    1.287170    3.947948e-2
gce           100    1.382472    1.267576e-2    1.407860    9.528412e-3
sce            10   47.431114       3.839491  381.265076       4.474457
sce           100   70.632767       2.516606  411.587280       2.626644
nce            10    0.096486    6.928779e-3    0.094555    9.434877e-4
nce           100    0.009920    3.528267e-4    0.009817    6.109630e-5
rce            10    8.483237    3.706550e-1    8.387543    3.287565e-1
rce           100    9.111142    4.196646e-2    9.163676    3.616571e-2
nce_and_rce    10    1.813182    9.583116e-2    1.784305    3.552899e-2
nce_and_rce   100    1.010314    6.866776e-3    1.014534    3.860000e-3
tce            10    2.759873    1.967078e-1    3.100078    4.994540e-2
tce           100    3.324669    6.188997e-2    3.418309    4.472571e-2
agce           10    1.598875    8.858977e-2    1.781933    4.223882e-2
agce          100    1.857090    2.551799e-2    1.933853    1.801462e-2
nce_and_agce   10    1.028011    7.098552e-2    1.008098    1.007911e-2
nce_and_agce  100    0.167190    3.726365e-3    0.166561    7.513659e-4
sr             10   80.511749    7.161880e-2   80.511749    7.161880e-3
sr            100  768.464600    1.749893e-2  768.464600    1.749894e-3
js             10    1.688415    9.787171e-2    1.789863    4.506713e-2
js            100    1.928902    2.252259e-2    1.968009    1.678969e-2
btl            10    1.435184    5.514229e-2    2.298728    3.381515e-2
btl           100    1.928025    6.398085e-3    2.169424    8.651333e-3
dal            10    1.148635    3.995471e-2    0.943823    4.325736e-2
dal           100    1.314597    4.386819e-3    1.191079    4.955458e-3
"""

# Further losses at scale 4: case, K, loss, gradient norm where known.
MORE: list[tuple[Loss, int, float, float | None]] = [
    (partial(losses.dal, q=0.6, bootstrap_weight=0), 10, 1.396611, 7.412969e-2),
    (partial(losses.dal, q=1.2, bootstrap_weight=0.4), 10, 0.971179, 3.247088e-2),
    (partial(losses.dal, q=1.494, bootstrap_weight=0.988), 10, 1.013027, 3.188175e-2),
    (partial(losses.dal, q=0.6, bootstrap_weight=0), 100, 1.587535, 1.793558e-2),
    (partial(losses.dal, q=1.2, bootstrap_weight=0.4), 100, 1.088459, 2.756836e-3),
    (partial(losses.dal, q=1.494, bootstrap_weight=0.988), 100, 1.183012, 3.100007e-3),
    (partial(losses.dal, q=1.2, bootstrap_weight=0.4, bootstrap="hard"), 10, 0.912359, None),
    (partial(losses.js, pi=0.1), 10, 2.617761, None),
    (partial(losses.js, pi=0.9), 10, 1.246047, None),
    (partial(losses.js, pi=0.001), 10, 4.361, None),
    (partial(losses.js, pi=0.999), 10, 1.036, None),
    (partial(losses.js, pi=0.1), 100, 3.173345, None),
    (partial(losses.js, pi=0.9), 100, 1.380203, None),
    (partial(losses.tce, t=2), 10, 1.351741, None),
    (partial(losses.tce, t=6), 10, 2.088329, None),
    (partial(losses.tce, t=2), 100, 1.478632, None),
    (partial(losses.tce, t=6), 100, 2.387888, None),
    (partial(losses.nce_and_rce, alpha=1, beta=1), 10, 8.579723, None),
    (partial(losses.nce_and_rce, alpha=1, beta=1), 100, 9.121062, None),
    (partial(losses.sce, alpha=0.1, beta=1), 10, 8.949065, None),
    (partial(losses.sce, alpha=0.1, beta=1), 100, 9.808359, None),
    (partial(losses.sr, tau=0.5, p=0.01, weight=152.93806), 10, 1494.20276, None),
    (partial(losses.sr, tau=0.5, p=0.01, weight=152.93806), 100, 14607.21582, None),
]

REFERENCE = dict(np.load(REFERENCES / "losses_reference.npz"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("n_classes", [10, 100])
@pytest.mark.parametrize("case", REFERENCE_CASES)
def test_value_and_gradient_equal_the_reference(
    case: str, n_classes: int, dtype: torch.dtype
) -> None:
    at = f"c{n_classes}"
    row = REFERENCE[f"{at}.cases"].tolist().index(case.encode())
    logits = torch.from_numpy(REFERENCE[f"{at}.logits"]).to(dtype)
    y = torch.from_numpy(REFERENCE[f"{at}.y"]).long()
    parameters = {}
    if case.startswith("nlnl"):
        drawn = torch.from_numpy(REFERENCE[f"{at}.{case}.y_complementary"]).long()
        counts = torch.from_numpy(REFERENCE[f"{at}.{case}.counts"])
        parameters = {"y_complementary": drawn, "weights": losses.class_weights(counts)}

    value, gradient = evaluate(REFERENCE_CASES[case], logits, y, **parameters)

    expected = torch.from_numpy(REFERENCE[f"{at}.gradient"][row])
    norm = float(REFERENCE[f"{at}.gradient_norm"][row])
    relative, absolute = (5e-7, 0.0) if dtype == torch.float64 else (2e-5, 2e-6)
    bits = "64" if dtype == torch.float64 else "32"
    loss = float(REFERENCE[f"{at}.loss{bits}"][row])
    assert value.dtype == gradient.dtype == dtype
    assert value.item() == pytest.approx(loss, rel=relative, abs=absolute)
    assert gradient.double().norm().item() == pytest.approx(norm, rel=relative, abs=absolute)
    # Relative to the largest entry: the smallest ones are beyond single precision.
    deviation = (gradient[: len(expected)].double() - expected).abs().max()
    assert deviation <= relative * expected.abs().max() + absolute


def test_the_reference_has_no_case_left_out() -> None:
    for at in ("c10", "c100"):
        assert {name.decode() for name in REFERENCE[f"{at}.cases"]} == set(REFERENCE_CASES)


@pytest.mark.parametrize("row", TABLE.splitlines()[1:], ids=lambda row: "-".join(row.split()[:2]))
def test_value_and_gradient_norm_equal_the_table(row: str) -> None:
    name, n_classes, *numbers = row.split()
    for scale, (loss, norm) in ((4, numbers[:2]), (40, numbers[2:])):
        value, gradient = evaluate(DEFAULTS[name], *wave(int(n_classes), scale))
        # The absolute part is half a unit of the last digit given.
        assert value.item() == pytest.approx(float(loss), rel=1e-5, abs=5e-7)
        assert gradient.norm().item() == pytest.approx(float(norm), rel=1e-4)


def test_the_table_holds_every_loss() -> None:
    assert {row.split()[0] for row in TABLE.splitlines()[1:]} == set(DEFAULTS)


@pytest.mark.parametrize(("loss", "n_classes", "expected", "norm"), MORE)
def test_further_parameters_equal_the_table(
    loss: Loss, n_classes: int, expected: float, norm: float | None
) -> None:
    value, gradient = evaluate(loss, *wave(n_classes, 4))
    digits = len(str(expected).partition(".")[2])
    assert value.item() == pytest.approx(expected, rel=1e-6, abs=0.6 * 10**-digits)
    assert norm is None or gradient.norm().item() == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize(
    ("n_classes", "n_labels", "expected", "norm"),
    [(10, 3, 0.247887, 1.026804e-1), (100, 110, 1.113177, 1.514089e-2)],
)
def test_negative_learning_equals_the_table(
    n_classes: int, n_labels: int, expected: float, norm: float
) -> None:
    logits, y = wave(n_classes, 4)
    i, k = torch.arange(len(y))[:, None], torch.arange(n_labels)
    complementary = (y[:, None] + 1 + (i + 2 * k) % (n_classes - 1)) % n_classes
    loss = partial(losses.nlnl, y_complementary=complementary, weights=torch.ones(n_classes))
    value, gradient = evaluate(loss, logits, y)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert gradient.norm().item() == pytest.approx(norm, rel=1e-4)
