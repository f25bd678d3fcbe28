"""Engines for tests."""

from pipeline.config import LocalEngine
from pipeline.grids.engines.local import Local


def local(workers: int = 0, devices: tuple[str, ...] = (), **settings) -> Local:
    """The engine `local`; with 0 workers cells are computed in the test's own process."""
    return Local("local", LocalEngine(**settings), workers, devices)
