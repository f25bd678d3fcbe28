"""A batch: the cells of a grid, planned once and frozen in a folder that workers read.

    results/engine/GRID/ENGINE-STAMP/
      batch.json       grid, execution, params and circumstances that it was planned from
      cells.parquet    one row a cell: key, method, resolved settings, resources
      token            says to a worker on another machine that it sees this very folder
      bundles/N.json   cells that are handed out together, see `bundles`
      handles/  news/  logs/

The folder can be deleted once no job works on it: what counts is in the store, in the checkpoints
and in the engine's own database.
"""

from __future__ import annotations

import json
import platform
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config import Execution, Params, read_params, validated
from pipeline.errors import LabError
from pipeline.files import data_folder, labels_folder, replacing, results_folder
from pipeline.grids.cells import Cell, cell_texts
from pipeline.grids.frozen_cell import CELLS, FrozenCell, freeze_cell
from pipeline.noise.noise_spec import OpenSet
from pipeline.results.circumstances import Circumstances, circumstances
from pipeline.results.provenance import provenance
from pipeline.runs.planned import PlannedRun
from pipeline.storage.place import Place
from pipeline.storage.places import artefact_place, store_place
from pipeline.storage.shared import leave_token, require_shared


@dataclass(frozen=True)
class Batch:
    """A frozen batch.

    Args:
        folder: where it lies.
        grid: name of the grid.
        engine: name of the engine that it was made for.
        execution: how each run is carried out.
        params: that it was planned from.
        params_file: where those were read.
        n_cells: of the whole grid, with those that were stored before.
        planned_under: the circumstances of that.
        cards: files that say what its inputs are.
        frozen_at: when.
        token: text of the file `token`.
        place_tokens: names of tokens in the places that its cells write into.
    """

    folder: Path
    grid: str
    engine: str
    execution: Execution
    params: Params
    params_file: Path
    n_cells: int
    planned_under: Circumstances
    cards: tuple[Path, ...]
    frozen_at: datetime
    token: str
    place_tokens: tuple[str, ...]

    @cached_property
    def cells(self) -> list[FrozenCell]:
        """Its cells, read once."""
        return [FrozenCell(*row) for row in pl.read_parquet(self.folder / "cells.parquet").rows()]

    def check(self, params: Params | None = None) -> None:
        """Refuse a batch that was planned under other circumstances, or for another store.

        Args:
            params: as they are now; by default those of the file, which is read again.

        Raises:
            LabError: naming what has changed, or the store that this machine does not see.
        """
        for place, token in zip(_places(), self.place_tokens, strict=True):
            require_shared(place, token)
        now = circumstances(params or read_params(self.params_file), self.cards)
        if changed := now.changed_since(self.planned_under):
            raise LabError(
                f"{' and '.join(changed)} changed since batch {self.folder.name} of grid "
                f"{self.grid} was planned",
                "a batch whose code, params and inputs are as they were",
                "the same command again, which plans a new one",
                exit_code=1,
            )


def batches_folder(grid: str) -> Path:
    """Folder of the batches of a grid."""
    return results_folder() / "engine" / grid


def freeze(
    cells: Sequence[Cell],
    gpus: Sequence[int],
    seconds: Sequence[float | None],
    *,
    engine: str,
    execution: Execution,
    params: Params,
    params_file: Path,
    n_cells: int,
) -> Batch:
    """Freeze cells in a new folder.

    Args:
        cells: of the grid, those to compute.
        gpus: of each cell.
        seconds: that each should take, None where nobody knows.
        engine: that will compute them.
        execution: how.
        params: that they were planned from.
        params_file: where those were read.
        n_cells: of the whole grid.

    Returns:
        The batch.
    """
    now = datetime.now(UTC)
    grid = execution.grid
    stamp = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = batches_folder(grid) / f"{engine}-{stamp}"
    texts = cell_texts(cells)
    frozen = [
        freeze_cell(cell, texts[cell.key], n, expected)
        for cell, n, expected in zip(cells, gpus, seconds, strict=True)
    ]
    cards = sorted({card for cell in cells for card in _cards(cell)})
    batch = Batch(
        folder=folder,
        grid=grid,
        engine=engine,
        execution=execution,
        params=params,
        params_file=params_file,
        n_cells=n_cells,
        planned_under=circumstances(params, cards),
        cards=tuple(cards),
        frozen_at=now,
        token=secrets.token_hex(16),
        place_tokens=tuple(leave_token(place) for place in _places()),
    )
    facts = {
        "grid": grid,
        "engine": engine,
        "execution": execution.model_dump(mode="json", exclude={"grid"}),
        "params": params.model_dump(mode="json"),
        "params_file": str(params_file),
        "n_cells": n_cells,
        "planned_under": batch.planned_under._asdict(),
        "cards": [str(card) for card in cards],
        "frozen_at": now.isoformat(),
        "token": batch.token,
        "place_tokens": batch.place_tokens,
        "made_by": provenance(),
    }
    folder.mkdir(parents=True)
    table = pl.DataFrame([list(row) for row in frozen], schema=CELLS, orient="row")
    with replacing(folder / "cells.parquet") as temporary:
        table.write_parquet(temporary)
    with replacing(folder / "token") as temporary:
        temporary.write_text(batch.token)
    with replacing(folder / "batch.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1))
    return batch


def read_batch(folder: Path, token: str | None = None) -> Batch:
    """The batch of a folder.

    Args:
        folder: where it lies.
        token: that the folder must hold, if the caller knows it.

    Raises:
        LabError: when this machine does not see that folder, or it is damaged.
    """
    try:
        facts = json.loads((folder / "batch.json").read_text())
        found = (folder / "token").read_text()
    except (OSError, ValueError) as failure:
        raise _not_shared(folder, f"{type(failure).__name__}") from failure
    if found != facts["token"] or token not in {None, found}:
        raise _not_shared(folder, "another folder of that name")
    return Batch(
        folder=folder,
        grid=facts["grid"],
        engine=facts["engine"],
        execution=_execution(facts, folder),
        params=validated(Params, facts["params"], f"{folder}/batch.json"),
        params_file=Path(facts["params_file"]),
        n_cells=facts["n_cells"],
        planned_under=Circumstances(**facts["planned_under"]),
        cards=tuple(Path(card) for card in facts["cards"]),
        frozen_at=datetime.fromisoformat(facts["frozen_at"]),
        token=found,
        place_tokens=tuple(facts["place_tokens"]),
    )


def _execution(facts: dict[str, Any], folder: Path) -> Execution:
    # Batches of early versions have the grid once more, as `group`.
    stated = {name: value for name, value in facts["execution"].items() if name != "group"}
    return validated(Execution, stated | {"grid": facts["grid"]}, f"{folder}/batch.json")


def _places() -> tuple[Place, Place]:
    """Where cells write."""
    return store_place(), artefact_place()


def _not_shared(folder: Path, found: str) -> LabError:
    return LabError(
        f"batch folder {folder} on {platform.node()}: {found}",
        "a folder that all machines share",
        "a project folder (LNL_ROOT) on the shared file system",
        exit_code=1,
    )


def _cards(run: PlannedRun) -> Iterable[Path]:
    """The cards of what a run, and the encoders it names, learn from."""
    settings, noise = run.settings, run.resolved.noise
    yield data_folder(settings.dataset) / "card.json"
    yield labels_folder(settings.dataset, settings.noise) / "card.json"
    if settings.seeds.noise is not None:
        yield labels_folder(settings.dataset, settings.noise, settings.seeds.noise) / "card.json"
    if isinstance(noise, OpenSet):
        yield data_folder(noise.source) / "card.json"
    for encoder in run.inputs.encoders.values():
        if encoder.run is None:
            yield encoder.folder / "card.json"
        else:
            yield from _cards(encoder.run)
