"""The engine that a grid uses, by name; its library is imported only when it is asked for."""

from __future__ import annotations

from pipeline.config import LocalEngine, Params, SlurmEngine, engine_settings
from pipeline.grids.engines.engine import Engine


def choose_engine(name: str, params: Params, workers: int = 1) -> Engine:
    """The engine of an entry of the `engines` block, or of a kind.

    Args:
        name: of the entry or the kind.
        params: with the block.
        workers: processes of the engine `local` where there is no GPU.

    Raises:
        LabError: for an unknown name, or a faulty entry.
    """
    settings = engine_settings(name, params.engines)
    if isinstance(settings, LocalEngine):
        from pipeline.grids.engines.local import Local

        return Local(name, settings, workers)
    if isinstance(settings, SlurmEngine):
        from pipeline.grids.engines.slurm import Slurm

        return Slurm(name, settings)
    from pipeline.grids.engines.ray import Ray

    return Ray(name, settings)
