"""What is said of a search: what it would try, and what it chose."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Tune
from pipeline.results.protocols import PROTOCOLS
from pipeline.tuning.search import Found, Search
from pipeline.tuning.space import Values, n_combinations
from pipeline.tuning.trial import METRIC, Trial

_SHOWN = 5


def plan_line(search: Search, tune: Tune) -> str:
    """What a search would try."""
    size = n_combinations(search.axes)
    crossed = "a continuous space" if size == math.inf else f"{size:.0f} combinations"
    seeds = f", {len(tune.seeds)} seeds each" if len(tune.seeds) > 1 else ""
    n = _n_trials(search, tune)
    return f"{search.title}: {n} trials of {crossed} ({tune.search}){seeds}"


def trial_line(search: Search, trial: Trial, tune: Tune) -> str:
    """Which trial is computed next."""
    n = _n_trials(search, tune)
    return f"{search.title}: trial {trial.number} of {n}, {_words(trial.settings)}"


def choice_lines(found: Found, tune: Tune, path: Path) -> Iterator[str]:
    """What a search chose, and the trials that came next.

    Args:
        found: all trials.
        tune: how they were proposed and judged.
        path: file of the recipe that was written.
    """
    rule = PROTOCOLS[tune.protocol]
    ended = [trial for trial in found.trials if trial.accuracy is not None]
    others = len(found.trials) - len(ended)
    left_out = f", {others} of them diverged or failed" if others else ""
    n_trials = f"{len(found.trials)} different trials{left_out}"
    yield f"{found.search.title}: {n_trials}; judged by {METRIC}, {rule.meaning}"
    # Stable: of equal ones the first.
    for trial in sorted(ended, key=_worse)[:_SHOWN]:
        yield f"  {100 * trial.value:.2f} %  {_words(trial.settings)}"
    yield f"recipe {tune.name} of {found.search.method} in {path}: --recipe {tune.name}"


def _n_trials(search: Search, tune: Tune) -> str:
    n = n_combinations(search.axes) if tune.search == "exhaustive" else tune.trials
    return f"{n:.0f}"


def _worse(trial: Trial) -> float:
    return -trial.value


def _words(settings: Values) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
