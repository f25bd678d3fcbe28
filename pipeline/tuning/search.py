"""The search: proposals are computed as cells of a grid, judged, and told to what proposes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.config import Params, Tune, grid_of
from pipeline.errors import LabError, quoted
from pipeline.grids.cells import places
from pipeline.results.store import Store
from pipeline.runs.planning import Planner
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.recipes import found_recipes, recipes_of
from pipeline.tuning.proposals import proposer
from pipeline.tuning.space import Axis, Values, axes_of, extremes, fixed_of
from pipeline.tuning.trial import Place, Trial, judged, planned_runs


class Search(NamedTuple):
    """A search: one block of settings on one data set with one label table."""

    fixed: Values
    """Settings that are the same in all trials, and the method."""
    axes: tuple[Axis, ...]
    """Those that are searched."""
    place: Place

    @property
    def method(self) -> str:
        """File name of the method without ending."""
        return str(self.fixed["method"])

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.method} on {self.place.dataset}/{self.place.noise}"


Compute = Callable[[Search, Sequence[Trial]], None]
"""Computes the runs of trials that are not stored, and waits for them."""


class Found(NamedTuple):
    """What a search has tried."""

    search: Search
    trials: list[Trial]
    """In the order of the proposals, each of its settings once."""

    @property
    def best(self) -> Trial:
        """The trial with the largest accuracy, the first of equal ones.

        Raises:
            LabError: where none has ended well.
        """
        ended = [trial for trial in self.trials if trial.accuracy is not None]
        if not ended:
            raise LabError(
                f"{self.search.title}: none of {len(self.trials)} trials has ended well",
                "settings with which a run ends",
                "uv run python analysis/runs.py list, which says why; then other ranges",
                exit_code=1,
            )
        return max(ended, key=lambda trial: trial.value)


def tune_of(params: Params) -> Tune:
    """The `tune` block of params.yaml.

    Raises:
        LabError: when there is none, or its name is that of a recipe that no search found.
    """
    if params.tune is None:
        raise LabError(
            "params.yaml has no tune block",
            "settings to search for",
            "tune: {name: ..., trials: 20, seeds: [10], runs: [{method: ..., lr: [...]}]}",
        )
    for block in params.tune.runs:
        method, name = block["method"], params.tune.name
        load_method(method)
        if name in recipes_of(method) and name not in found_recipes(method):
            raise LabError(
                f"tune.name = {quoted(name)}, which is a recipe of {method} already",
                "a name of its own for what is found",
                f"name: {name}-tuned",
            )
    return params.tune


def searches(params: Params, planner: Planner) -> list[Search]:
    """The searches that the `tune` block asks for: each of its blocks at each place of the grid.

    What is faulty in any of them is told here, before anything is computed.

    Args:
        params: with tune and grid.
        planner: of these params.

    Raises:
        LabError: for settings that are none, where no noisy validation labels are held out, and as
            `proposer` does.
    """
    tune, where = tune_of(params), places(grid_of(params), params, planner)
    found = [
        Search(fixed_of(block), axes_of(block, load_method(block["method"])), Place(*place))
        for block in tune.runs
        for place in where
    ]
    for search in found:
        proposer(search.axes, tune)
        for settings in extremes(search.axes):
            planned_runs(tune, search.place, search.fixed, settings, params, planner)
    return found


def carried_out(search: Search, params: Params, planner: Planner, compute: Compute) -> Found:
    """Carry out a search; trials that are stored are taken, so one that was stopped goes on.

    Args:
        search: one of `searches`.
        params: with tune and grid.
        planner: of these params.
        compute: computes trials.

    Returns:
        All trials.

    Raises:
        LabError: for a finished run without noisy validation labels.
        Interrupted: when a stop was asked for.
    """
    tune = tune_of(params)
    proposing = proposer(search.axes, tune)
    numbers = itertools.count(1)
    tried: dict[str, Trial] = {}
    while proposed := proposing.ask():
        trials = [
            Trial(
                next(numbers),
                settings,
                planned_runs(tune, search.place, search.fixed, settings, params, planner),
            )
            for settings in proposed
        ]
        new = {trial.cells[0].key: trial for trial in trials if trial.cells[0].key not in tried}
        compute(search, list(new.values()))
        for trial in judged(list(new.values()), tune, Store()):
            tried[trial.cells[0].key] = trial
        proposing.tell([tried[trial.cells[0].key].value for trial in trials])
    return Found(search, list(tried.values()))
