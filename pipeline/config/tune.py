"""The `tune` block of params.yaml: settings that are searched for by noisy validation, checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from pipeline.config.checking import STRICT, validated
from pipeline.config.run_settings import named
from pipeline.config.seeds import Seed
from pipeline.errors import LabError, quoted

MAX_TRIALS = 10_000
_NEVER_SEARCHED = ("method", "dataset", "noise", "seed", "seeds", "gpus", "validation", "val_rate")
"""What names the place of a run, and what would change the labels that trials are judged by."""


class Range(BaseModel):
    """Numbers between two bounds, both included."""

    model_config = STRICT

    low: int | float
    """The smallest value; above 0 where `log` is set."""
    high: int | float
    """The largest value."""
    log: bool = False
    """Whether equal factors count as equal distances, as suits a learning rate."""
    steps: int | None = Field(None, ge=2, le=1000)
    """Only so many values, evenly spread, the bounds among them; None for any in between."""


class Tune(BaseModel):
    """Searches for settings, one for each method, data set and label table of the grid."""

    model_config = STRICT

    name: Annotated[str, named("tune")]
    """Name of the recipe that the choices become, of the view of all trials, and of their group in
    MLflow."""
    runs: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Blocks of settings, one for a method: a list or a range `{low, high, log, steps}` is
    searched, what stands alone is fixed."""
    seeds: tuple[Seed, ...] = Field(min_length=1)
    """Root seeds of each trial, which is judged by their mean; best others than the grid's."""
    search: Literal["exhaustive", "optuna"] = "optuna"
    """All combinations, or trials that the tree-structured Parzen estimator of optuna proposes."""
    trials: int | None = Field(None, ge=1, le=MAX_TRIALS)
    """How many trials a search has; for an exhaustive one the most that it may have."""
    at_once: int = Field(1, ge=1, le=1000)
    """Trials that optuna proposes together, for engines that compute several at the same time."""
    sampler_seed: int = Field(0, ge=0, lt=2**32)
    """Seed of optuna's proposals."""
    protocol: Literal["best-noisy-val", "last", "last10"] = "best-noisy-val"
    """Epoch whose accuracy on the noisy validation labels judges a run; never one chosen by the
    test split."""

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        methods = [block.get("method") for block in self.runs]
        for number, (block, method) in enumerate(zip(self.runs, methods, strict=True)):
            where = f"tune.runs.{number}"
            if not isinstance(method, str) or methods.count(method) > 1:
                raise LabError(
                    f"{where}.method = {quoted(method)}", "one method in every block, each once",
                    "method: robust_loss",
                )  # fmt: skip
            _check_block(block, where, self.search)
        if self.search == "optuna" and self.trials is None:
            raise LabError("tune lacks 'trials'", "how many optuna is to propose", "trials: 20")
        return self


def searched(block: dict[str, Any]) -> Iterator[str]:
    """Names of the settings of a block that are searched."""
    return (name for name, value in block.items() if isinstance(value, list | dict))


def _check_block(block: dict[str, Any], where: str, search: str) -> None:
    names = list(searched(block))
    if not names:
        raise LabError(f"{where} searches nothing", "a list or a range", "lr: [0.01, 0.1]")
    if refused := [name for name in names if name in _NEVER_SEARCHED]:
        raise LabError(
            f"{where}.{refused[0]} = {quoted(block[refused[0]])}",
            "one value: trials must share labels and validation samples",
            f"a value for {refused[0]}, or leave it out",
        )
    for name in names:
        value = block[name]
        if value == []:
            raise LabError(f"{where}.{name} = []", "at least one value", f"leave {name} out")
        if isinstance(value, dict):
            _check_range(validated(Range, value, f"{where}.{name}"), f"{where}.{name}", search)


def _check_range(found: Range, where: str, search: str) -> None:
    if not found.low < found.high or (found.log and found.low <= 0):
        raise LabError(
            f"{where} goes from {found.low} to {found.high}",
            "low above 0 and below high" if found.log else "low below high",
            "low: 0.001, high: 0.1, log: true",
        )
    if search == "exhaustive" and found.steps is None:
        raise LabError(
            f"{where} is a range without steps, in an exhaustive search",
            "a list, or a range with steps",
            "steps: 5, or search: optuna",
        )
