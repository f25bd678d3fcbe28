"""Writing what a search found as a recipe of this project, recipes/METHOD.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from pipeline.files import replacing
from pipeline.runs.settings.recipes import Recipe, Row, found_file, found_recipes

_HEAD = """\
# Recipes that searches by noisy validation found (uv run python -m pipeline.stages.tune), which
# --recipe NAME takes; the form is that of methods/recipes. A search of the same name writes its
# rows anew.
"""


def write_found(method: str, name: str, cell: Mapping[str, Any], rows: Sequence[Row]) -> Path:
    """Write the rows of a recipe that hold in one cell; other cells and recipes stay.

    Args:
        method: file name of the method without ending.
        name: of the recipe.
        cell: conditions for which it was made, which are among those of each row.
        rows: settings for the cell.

    Returns:
        The file.
    """
    path = found_file(method)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        recipes = dict(found_recipes(method))
        before = recipes.get(name)
        cells = [] if before is None else [one for one in before.cells if one != dict(cell)]
        kept = [] if before is None else [row for row in before.rows if not _holds(row, cell)]
        recipes[name] = Recipe(cells=(*cells, dict(cell)), rows=(*kept, *rows))
        content = {
            recipe: {"cells": list(found.cells), "rows": [_plain(row) for row in found.rows]}
            for recipe, found in sorted(recipes.items())
        }
        text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=98)
        with replacing(path) as temporary:
            temporary.write_text(_HEAD + "\n" + text, encoding="utf-8")
    return path


def _plain(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.model_dump(mode="json").items() if value is not None}


def _holds(row: Row, cell: Mapping[str, Any]) -> bool:
    """Whether a row was written for a cell."""
    return all(row.where.get(name) == value for name, value in cell.items())
