"""Real engines."""

import pytest

from tests.support.slurm import Slurm


@pytest.fixture
def slurm(lab, monkeypatch):
    """A Slurm of one node for one test; only those behind the marker `services` may ask for it."""
    cluster = Slurm()
    try:
        cluster.start()
        for name, text in (cluster.environment | {"OMP_NUM_THREADS": "1"}).items():
            monkeypatch.setenv(name, text)
        yield cluster
    finally:
        cluster.stop()
