"""What a search chose: a recipe of this project, and a mark on the runs of the choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Tune
from pipeline.grids.run import note_trials
from pipeline.runs.settings.found_recipes import write_found
from pipeline.runs.settings.recipes import Row
from pipeline.runs.settings.resolve import kind_of_labels
from pipeline.tuning.search import Found

_PLACE = frozenset({"dataset", "noise", "seed", "seeds", "recipe"})
"""Settings that a recipe does not set."""


def keep_choice(found: Found, tune: Tune) -> Path:
    """Write the choice of a search as a recipe, and note with its runs how many trials there were.

    Args:
        found: all trials.
        tune: name and method of the search.

    Returns:
        The file of the recipe.

    Raises:
        LabError: where no trial has ended well.
    """
    best, cell = found.best, found.search.place._asdict()
    for one in best.cells:
        one.row["n_trials"] = len(found.trials)
    note_trials(best.cells)
    return write_found(found.search.method, tune.name, cell, _rows(found, tune, cell))


def _rows(found: Found, tune: Tune, cell: dict[str, str]) -> list[Row]:
    """Rows that give the settings of the best trial.

    What the recipe that the trials started from chose by the label noise has a row of its own, with
    a condition on the noise: it stays known that it is knowledge of the noise.
    """
    chosen = found.best.cells[0]
    usual = {name: field.default for name, field in type(chosen.settings).model_fields.items()}
    wanted = {
        name: value
        for name, value in chosen.settings.model_dump(mode="json").items()
        if name not in _PLACE
        and (getattr(chosen.settings, name) != usual[name] or name in found.best.settings)
    }
    by_noise = {name: wanted[name] for name in wanted if name in chosen.resolved.by_noise}
    others = {name: value for name, value in wanted.items() if name not in by_noise}
    kind = {"noise_kind": kind_of_labels(chosen.resolved.noise)}
    parts: list[tuple[dict[str, Any], dict[str, Any]]] = [(cell | kind, by_noise), (cell, others)]
    return [
        Row(
            where=where, set=values, status="own", source=_source(found, tune),
            trials=len(found.trials),
        )
        for where, values in parts
        if values
    ]  # fmt: skip


def _source(found: Found, tune: Tune) -> str:
    seeds = ", ".join(map(str, tune.seeds))
    return (
        f"search {tune.name}: {len(found.trials)} trials ({tune.search}), accuracy on noisy "
        f"validation labels {found.best.value:.4f}, {tune.protocol}, seeds {seeds}"
    )
