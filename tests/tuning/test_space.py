"""What a search may propose: values of lists, numbers of ranges that a flag can repeat."""

import math

import pytest

from pipeline.runs.settings.methods import load_method
from pipeline.tuning.space import axes_of, fixed_of, n_combinations

BLOCK = {
    "method": "elr",
    "recipe": "pocket",
    "beta": [0.5, 0.7],
    "lr": {"low": 0.001, "high": 0.1, "log": True, "steps": 5},
    "epochs": {"low": 1, "high": 10, "steps": 4},
    "weight": {"low": 1, "high": 4, "steps": 4},
    "momentum": {"low": 0.5, "high": 0.99999},
}


def test_lists_and_ranges_are_axes_and_the_rest_is_fixed() -> None:
    axes = {axis.name: axis for axis in axes_of(BLOCK, load_method("elr"))}
    assert fixed_of(BLOCK) == {"method": "elr", "recipe": "pocket"}
    assert axes["beta"].choices == (0.5, 0.7)
    assert axes["lr"].choices == (0.001, 0.003162, 0.01, 0.03162, 0.1)
    # Whole where the setting is, whatever the bounds are written as.
    assert axes["epochs"].choices == (1, 4, 7, 10)
    assert axes["epochs"].is_whole
    assert axes["weight"].choices == (1, 2, 3, 4)
    assert not axes["weight"].is_whole
    assert axes["momentum"].choices == ()
    assert n_combinations(list(axes.values())) == math.inf
    assert n_combinations([axes["beta"], axes["lr"], axes["epochs"]]) == 2 * 5 * 4
    (whole,) = axes_of({"epochs": {"low": 1, "high": 10}}, load_method("elr"))
    assert n_combinations([whole]) == 10


def test_proposed_numbers_have_few_digits_and_stay_within_the_bounds() -> None:
    momentum = axes_of(BLOCK, load_method("elr"))[-1]
    assert momentum.rounded(0.7123456) == 0.7123
    assert momentum.rounded(0.999989) == pytest.approx(0.99999, abs=0)
