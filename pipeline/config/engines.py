"""Engines: where the cells of a grid are computed. Execution only, never part of a key.

An engine is an entry of the `engines` block of params.yaml; `local`, `slurm` and `ray` are known
without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Field

from pipeline.config.checking import STRICT, validated, validated_kind
from pipeline.config.run_settings import MAX_WORKERS
from pipeline.errors import LabError, quoted, suggest

MAX_GPUS = 64
"""Of one cell."""
Word = Annotated[str, Field(pattern=r"^[^\s=]+$", max_length=200)]
Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}[MG]$")]


class _Engine(BaseModel):
    model_config = STRICT

    bundle_minutes: float = Field(30.0, gt=0, le=1440)
    """Minutes that a bundle of cells should take, by past runs; a cell is never cut."""
    per_gpu: int = Field(1, ge=1, le=16)
    """Cells that share one GPU."""


class LocalEngine(_Engine):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    gpus: tuple[Annotated[int, Field(ge=0, lt=1024)], ...] | None = Field(None, min_length=1)
    """GPUs to use, by number; default: all that this program sees."""


class SlurmEngine(_Engine):
    """Job arrays of a Slurm cluster; the project folder lies on a file system that it shares."""

    kind: Literal["slurm"] = "slurm"
    partition: Word | None = None
    """Partition; default: the cluster's."""
    account: Word | None = None
    """Account that pays; default: the user's."""
    qos: Word | None = None
    """Quality of service; default: the user's."""
    gpus: int = Field(1, ge=0, le=MAX_GPUS)
    """GPUs of a cell that asks for no number; 0 for a partition without GPUs."""
    cpus: int = Field(4, ge=1, le=1024)
    """CPU cores of each process."""
    memory: Memory = "16G"
    """Memory of each process, such as 16G or 800M."""
    time_minutes: int = Field(120, ge=15, le=60 * 24 * 30)
    """Time limit of a job; a longer run is saved, queued again and goes on."""
    max_parallel: int | None = Field(None, ge=1)
    """Jobs at the same time; default: as many as the cluster grants."""
    poll_seconds: float = Field(10.0, ge=1, le=3600)
    """Seconds between two questions to the cluster about its jobs."""
    setup: tuple[str, ...] = ()
    """Shell lines before a job's program starts, such as `module load cuda`."""
    python: str | None = Field(None, min_length=1)
    """Command that starts Python on a node, such as `apptainer exec --nv lab.sif python`; default:
    the Python of the program that submits."""


class RayEngine(_Engine):
    """Tasks on a Ray cluster; the project folder lies on a file system that it shares."""

    kind: Literal["ray"] = "ray"
    address: Word | None = None
    """Address of a cluster that exists, or `auto`; default: a local one for this grid alone."""
    gpus: int = Field(1, ge=0, le=MAX_GPUS)
    """GPUs of a cell that asks for no number; 0 for nodes without GPUs."""
    cpus: int = Field(1, ge=1, le=1024)
    """CPU cores of each process."""
    memory: Memory | None = None
    """Memory that a cell reserves, such as 16G or 800M; default: none in particular."""
    max_parallel: int | None = Field(None, ge=1, le=MAX_WORKERS * MAX_WORKERS)
    """Bundles at the same time; default: as many as the cluster grants."""
    grows: bool = False
    """Whether nodes come when tasks wait for them; otherwise what no node can hold is refused."""


EngineSettings = LocalEngine | SlurmEngine | RayEngine
_KINDS: dict[str, type[BaseModel]] = {
    "local": LocalEngine,
    "slurm": SlurmEngine,
    "ray": RayEngine,
}
_EXAMPLE = "engines: {cluster: {kind: slurm, partition: gpu}}"


def engine_settings(name: str, block: Mapping[str, dict[str, Any]]) -> EngineSettings:
    """The checked settings of an engine.

    Args:
        name: of an entry, or of a kind, which stands for its defaults.
        block: the `engines` block of params.yaml.

    Returns:
        The settings of that kind.

    Raises:
        LabError: for an unknown name or a faulty entry.
    """
    if name in block:
        example = f"{name}: {{kind: slurm, partition: gpu}}"
        where = f"params.yaml: engines.{name}"
        return cast("EngineSettings", validated_kind(_KINDS, block[name], where, example))
    if name in _KINDS:
        return cast("EngineSettings", validated(_KINDS[name], {}, f"engine {name}"))
    raise LabError(f"unknown engine {quoted(name)}", *suggest(name, [*block, *_KINDS], _EXAMPLE))
