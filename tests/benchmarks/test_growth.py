"""The table of growth: its exponent, and what it measures at a tiny size."""

from __future__ import annotations

import pytest

from benchmarks.growth import COSTS, exponent, seconds_of


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_is_the_slope_in_logarithms(power: float) -> None:
    sizes = [10, 20, 40]
    assert exponent(sizes, [3.0 * n**power for n in sizes]) == pytest.approx(power, abs=1e-9)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "labels" else pytest.mark.slow) for name in COSTS],
)
def test_each_cost_is_measured_in_a_folder_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_ROOT", "elsewhere")
    assert seconds_of(COSTS[name], 20) > 0
