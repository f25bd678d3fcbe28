"""Published settings as data: methods/recipes/METHOD.yaml, and the choice of rows for a cell."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from pipeline.config import STRICT, read_yaml, validated
from pipeline.errors import LabError, quoted, suggest
from pipeline.files import methods_folder, project_root
from pipeline.names import checked_name

Status = Literal["published", "unchecked", "own", "extrapolated"]
_NOISE = {"noise_kind", "rate"}
"""What a condition may ask about the label noise, which nobody knows of real labels."""


class Row(BaseModel):
    """Settings that hold wherever all conditions do."""

    model_config = STRICT

    where: dict[str, Any] = {}
    """Conditions on the cell: field name -> value or list of values."""
    set: dict[str, Any]
    """Settings of the row."""
    status: Literal["published", "unchecked", "own"]
    """published: read in the authors' code or paper; unchecked: common belief; own: found here."""
    source: str
    """Where the numbers come from."""
    trials: int | None = Field(None, ge=1)
    """Settings that a search compared before it chose these; None where none did."""


class Recipe(BaseModel):
    """A named list of rows and the cells for which it was made."""

    model_config = STRICT

    cells: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Conditions, one of which holds in every cell the source reports; others are extrapolated."""
    rows: tuple[Row, ...]
    """Applied in order: a later row overrides an earlier one."""


class Choice(NamedTuple):
    """What a recipe says about one cell."""

    settings: dict[str, Any]
    status: Status
    by_noise: frozenset[str] = frozenset()
    """Settings that it chose by the kind or the rate of the label noise."""
    n_trials: int | None = None
    """Settings that a search compared before it chose `searched`; None where none did."""
    searched: Mapping[str, Any] = MappingProxyType({})
    """Those that a search chose."""


def choose(method: str, recipe: str, cell: dict[str, Any]) -> Choice:
    """Settings of `recipe` for a cell, and how far they can be trusted.

    Args:
        method: file name of the method without ending.
        recipe: name of a recipe in its file.
        cell: what conditions may ask about: the method's settings plus noise_kind and rate.

    Returns:
        The merged settings of all matching rows, the weakest status among them (`extrapolated` if
        the recipe was not made for the cell), and which settings stem from a row for some noise.

    Raises:
        LabError: for an unknown recipe.
    """
    recipes = recipes_of(method)
    checked_name(recipe, "recipe")
    if recipe not in recipes:
        otherwise = (
            f"write it into methods/recipes/{method}.yaml, or let a search find it: "
            "uv run python -m pipeline.stages.tune"
        )
        raise LabError(
            f"unknown recipe {quoted(recipe)} of {method}", *suggest(recipe, recipes, otherwise)
        )
    chosen = recipes[recipe]
    rows = [row for row in chosen.rows if _holds(row.where, cell)]
    merged = {name: value for row in rows for name, value in row.set.items()}
    sources = {name: row for row in rows for name in row.set}
    by_noise = {name for name, row in sources.items() if _NOISE & set(row.where)}
    found = {name: merged[name] for name, row in sources.items() if row.trials is not None}
    n_trials = max((row.trials for row in sources.values() if row.trials is not None), default=None)
    return Choice(merged, _status(chosen, rows, cell), frozenset(by_noise), n_trials, found)


def recipes_of(method: str) -> dict[str, Recipe]:
    """The recipes of a method by name: those of its own file, and those that searches found here.

    Raises:
        LabError: for a name that both have.
    """
    shipped, found = _shipped(method), found_recipes(method)
    if twice := shipped.keys() & found.keys():
        raise LabError(
            f"recipe {min(twice)} of {found_file(method)}, which is one of methods/recipes as well",
            "names of their own",
            "rename it there",
        )
    return shipped | found


def found_file(method: str) -> Path:
    """The file of the recipes that searches found for a method in this project."""
    return project_root() / "recipes" / f"{method}.yaml"


def found_files() -> list[Path]:
    """The files of all recipes that searches found in this project."""
    return sorted((project_root() / "recipes").glob("*.yaml"))


def found_recipes(method: str) -> dict[str, Recipe]:
    """The recipes of that file by name; none where there is no file."""
    path = found_file(method)
    return _read_at(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache
def _read_at(path: Path, modified_ns: int) -> dict[str, Recipe]:
    del modified_ns  # part of the cache key only
    return read_recipes(path)


@lru_cache
def _shipped(method: str) -> dict[str, Recipe]:
    """The recipes that come with a method.

    A method without a file of recipes runs with the defaults of its settings class: they are its
    recipe `pocket`, which was made for no cell.
    """
    path = methods_folder() / "recipes" / f"{method}.yaml"
    if not path.exists():
        return {"pocket": Recipe.model_construct(cells=(), rows=())}
    return read_recipes(path)


def read_recipes(path: Path) -> dict[str, Recipe]:
    """The recipes of one file by name.

    Raises:
        LabError: for a file that is no YAML or holds something else than recipes.
    """
    content = read_yaml(path, what="recipes by name", remedy=f"git checkout {path}")
    return {
        checked_name(name, f"{path}: recipe"): validated(Recipe, one, f"{path}: {name}")
        for name, one in content.items()
    }


def _status(recipe: Recipe, rows: list[Row], cell: dict[str, Any]) -> Status:
    if not any(_holds(condition, cell) for condition in recipe.cells):
        return "extrapolated"
    found = {row.status for row in rows}
    return "unchecked" if "unchecked" in found else "own" if "own" in found else "published"


def _holds(conditions: dict[str, Any], cell: dict[str, Any]) -> bool:
    return all(
        cell.get(name) in (wanted if isinstance(wanted, list) else [wanted])
        for name, wanted in conditions.items()
    )
