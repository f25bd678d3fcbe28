"""Proposals: all combinations, or those of optuna, which are the same after the same answers."""

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.config import Tune, validated
from pipeline.errors import LabError
from pipeline.runs.settings.methods import load_method
from pipeline.tuning.proposals import Proposer, proposer
from pipeline.tuning.space import Axis, axes_of

BLOCK = {
    "method": "elr",
    "beta": [0.5, 0.7, 0.9],
    "lr": {"low": 0.001, "high": 0.1, "log": True},
    "epochs": {"low": 1, "high": 10},
    "weight": {"low": 1.0, "high": 5.0, "steps": 5},
}


def tune(**values: Any) -> Tune:
    usual = {"name": "found", "trials": 20, "seeds": [0], "runs": [BLOCK]}
    return validated(Tune, usual | values, "tune")


def axes(block: dict[str, Any] = BLOCK) -> tuple[Axis, ...]:
    return axes_of(block, load_method("elr"))


def answers(proposing: Proposer, told: Sequence[float] = ()) -> list[dict[str, Any]]:
    """All proposals of a search that hears how near lr is to 0.02, or what was told."""
    found: list[dict[str, Any]] = []
    while asked := proposing.ask():
        values = [1 - abs(one["lr"] - 0.02) for one in asked]
        n = len(found)
        proposing.tell([*told[n : n + len(asked)], *values][: len(asked)])
        found += asked
    return found


def test_an_exhaustive_search_has_each_combination_once() -> None:
    block = {"method": "elr", "beta": [0.5, 0.7], "lr": [0.1, 0.01, 0.001]}
    asked = tune(search="exhaustive", trials=6, runs=[block])
    found = answers(proposer(axes(block), asked))
    assert found == [{"beta": b, "lr": lr} for b in (0.5, 0.7) for lr in (0.1, 0.01, 0.001)]
    with pytest.raises(LabError, match="6 combinations of beta, lr .*at most trials: 5.*trials: 6"):
        proposer(axes(block), tune(search="exhaustive", trials=5, runs=[block]))


def test_without_optuna_one_line_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(LabError, match="not installed; .*; try: uv sync --extra tune") as caught:
        proposer(axes(), tune())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 3])
def test_optuna_proposes_the_same_after_the_same_answers(at_once: int) -> None:
    first = answers(proposer(axes(), tune(at_once=at_once)))
    assert len(first) == 20
    assert answers(proposer(axes(), tune(at_once=at_once))) == first
    assert answers(proposer(axes(), tune(at_once=at_once, sampler_seed=1))) != first
    # Another answer changes what comes after it, once the sampler listens (ten trials), alone.
    other = answers(proposer(axes(), tune(at_once=at_once)), [0.0] * 12)
    assert other[:10] == first[:10]
    assert other != first
    for one in first:
        assert one["beta"] in BLOCK["beta"]
        assert 0.001 <= one["lr"] <= 0.1
        assert float(f"{one['lr']:.4g}") == one["lr"]
        assert one["epochs"] in range(1, 11)
        assert one["weight"] in {1.0, 2.0, 3.0, 4.0, 5.0}


@pytest.mark.slow
def test_optuna_comes_nearer_to_what_is_good() -> None:
    found = [abs(one["lr"] - 0.02) for one in answers(proposer(axes(), tune(trials=40)))]
    assert sum(found[-10:]) < sum(found[:10])
