"""params.yaml: data sets, label tables, encoders, settings and the grid, checked."""

from __future__ import annotations

import itertools
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.config.checking import STRICT, validated
from pipeline.config.engines import MAX_GPUS, engine_settings
from pipeline.config.run_settings import MAX_WORKERS, named
from pipeline.config.seeds import Crossed, Seed
from pipeline.config.tune import Tune
from pipeline.config.yaml_files import read_yaml
from pipeline.errors import LabError, quoted
from pipeline.files import absolute, project_root
from pipeline.installation import code_folder, is_checkout
from pipeline.names import checked_name

MAX_CELLS = 100_000
"""Of one grid; each cell costs about a millisecond of planning."""


class Grid(BaseModel):
    """A named cross of data sets, label tables, methods and seeds."""

    model_config = STRICT

    name: Annotated[str, named("grid")]
    """Name of the grid: of its view in results/views and of its tag in MLflow."""
    datasets: tuple[Annotated[str, named("data set")], ...] = Field(min_length=1)
    """Names of data sets."""
    noises: tuple[Annotated[str, named("noise")], ...] = Field(min_length=1)
    """Names of label tables."""
    seeds: Annotated[
        Annotated[tuple[Seed, ...], Field(min_length=1), Tag("list")]
        | Annotated[Crossed, Tag("by stream")],
        Discriminator(lambda seeds: "by stream" if isinstance(seeds, dict | Crossed) else "list"),
    ]
    """Root seeds of runs; or seeds by random stream, every choice with every other."""
    runs: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Blocks of settings, each naming its `method`; a list of values is crossed with the others.
    `gpus: 4` beside them asks for several GPUs a cell, and is no setting."""
    workers: int = Field(1, ge=0, le=MAX_WORKERS)
    """Processes of the engine `local` that compute cells at the same time where there is no GPU, at
    most 256; 0 for the program itself, in which a debugger stops."""
    engine: str = "local"
    """Engine that computes the cells: an entry of the `engines` block, or a kind."""
    encoders: tuple[Annotated[str, named("encoder")], ...] = ()
    """Encoders that DVC makes before the runs; each names all it needs (docs/encoders.md)."""

    @model_validator(mode="after")
    def _can_be_crossed(self) -> Self:
        for number, block in enumerate(self.runs):
            _check_block(number, block)
        lists = (len(self.datasets), len(self.noises), *map(len, self._seed_lists.values()))
        n_cells = math.prod(lists) * sum(_size(block) for block in self.runs)
        if n_cells > MAX_CELLS:
            raise LabError(
                f"grid {self.name} has {n_cells:,} cells",
                f"at most {MAX_CELLS:,}",
                "several grids, or shorter lists in its runs",
            )
        return self

    @property
    def _seed_lists(self) -> dict[str, tuple[int, ...]]:
        """Lists of seeds that are crossed, the root seeds first."""
        if not isinstance(self.seeds, Crossed):
            return {"root": self.seeds}
        return {name: seeds for name, seeds in self.seeds if seeds}

    @property
    def draws(self) -> list[dict[str, Any]]:
        """The seeds of each cell, as settings."""
        _, *streams = self._seed_lists
        return [
            {"seed": root, "seeds": dict(zip(streams, own, strict=True))}
            for root, *own in itertools.product(*self._seed_lists.values())
        ]

    @property
    def label_draws(self) -> tuple[int, ...]:
        """Seeds of the draws of each label table beside that of its entry."""
        return self.seeds.noise if isinstance(self.seeds, Crossed) else ()


def _size(block: dict[str, Any]) -> int:
    return math.prod(len(value) for value in block.values() if isinstance(value, list))


def _check_block(number: int, block: dict[str, Any]) -> None:
    gpus = block.get("gpus", 1)
    if type(gpus) is not int or not 1 <= gpus <= MAX_GPUS:
        raise LabError(
            f"grid.runs.{number}.gpus = {quoted(gpus)}",
            f"one number from 1 to {MAX_GPUS}",
            "gpus: 1",
        )
    methods = block.get("method")
    for name, value in block.items():
        if value == []:
            raise LabError(
                f"grid.runs.{number}.{name} = []", "at least one value", f"leave {name} out"
            )
    for method in methods if isinstance(methods, list) else [methods]:
        if not isinstance(method, str):
            raise LabError(
                f"grid.runs.{number}.method = {quoted(method)}",
                "the name of a method in every block",
                "method: robust_loss",
            )


class Params(BaseModel):
    """params.yaml, checked."""

    model_config = STRICT

    datasets: dict[str, dict[str, Any]] = {}
    """Data sets by name; the built-in names need no entry."""
    noise: dict[str, dict[str, Any]] = {}
    """Label tables by name: kind, rate, seed and what the kind needs."""
    encoders: dict[str, dict[str, Any]] = {}
    """Encoders by name: kind and what the kind needs."""
    run: dict[str, Any] = {}
    """Settings of every method script, where they differ from the recipe."""
    methods: dict[str, dict[str, Any]] = {}
    """Settings of one method script each, by its file name."""
    grid: Grid | None = None
    """The grid of runs that `dvc repro` computes."""
    tune: Tune | None = None
    """Settings that are searched for on the data sets and label tables of the grid."""
    engines: dict[str, dict[str, Any]] = {}
    """Where cells are computed, by name: kind and what the kind needs. Execution only."""

    @field_validator("datasets", "noise", "encoders", "methods", "engines")
    @classmethod
    def _named(cls, block: dict[str, Any], which: ValidationInfo) -> dict[str, Any]:
        for name in block:
            checked_name(name, f"params.yaml: {which.field_name}:")
        return block

    @model_validator(mode="after")
    def _engines_are_known(self) -> Self:
        for name in self.engines:
            engine_settings(name, self.engines)
        if self.grid is not None:
            engine_settings(self.grid.engine, self.engines)
        return self

    @model_validator(mode="after")
    def _tune_has_places(self) -> Self:
        if self.tune is None or (self.grid is not None and self.grid.name != self.tune.name):
            return self
        if self.grid is None:
            raise LabError("a tune block without a grid", "a grid, which names its places", "grid:")
        raise LabError(
            f"tune and grid are both called {self.tune.name}",
            "names of their own, as each has a view",
            f"name: {self.tune.name}-tuned",
        )


@lru_cache(maxsize=8)
def _read_params(path: Path, modified_ns: int) -> Params:
    del modified_ns  # part of the cache key only
    is_own = path == code_folder() / "params.yaml"
    remedy = "git checkout params.yaml" if is_own else f"cp {shipped_params()} {path}"
    return validated(
        Params, read_yaml(path, what="a YAML file of settings", remedy=remedy), path.name
    )


def params_path(path: Path | None = None) -> Path:
    """The params.yaml of the project, or the other file that was named.

    Where nobody named a project, which is so in the current folder of code from a wheel, the one
    that came with the code stands in for one that is missing. A project that was named has its own:
    a folder that is not mounted would else be taken for a new one.
    """
    if path is not None:
        return absolute(path)
    own = project_root() / "params.yaml"
    is_named = is_checkout() or bool(os.environ.get("LNL_ROOT"))
    return absolute(own if is_named or own.exists() else shipped_params())


def shipped_params() -> Path:
    """The params.yaml that comes with the code; in a checkout it is that of the project."""
    return code_folder() / "lnl" / "params.yaml"


def read_params(path: Path | None = None) -> Params:
    """The checked params.yaml of the project, or another file of the same form."""
    found = params_path(path)
    return _read_params(found, found.stat().st_mtime_ns if found.exists() else 0)


def grid_of(params: Params) -> Grid:
    """The grid that params.yaml defines.

    Raises:
        LabError: when it defines none.
    """
    if params.grid is None:
        raise LabError(
            "params.yaml has no grid",
            "a grid block",
            "grid: {name: ..., datasets: [...], noises: [...], seeds: [0], runs: [...]}",
        )
    return params.grid
