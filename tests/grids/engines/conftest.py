"""Real engines."""

import pytest

from tests.support.slurm import Slurm


@pytest.fixture(scope="session")
def private_slurm():
    """A Slurm of one node; only tests behind the marker `services` may ask for it."""
    cluster = Slurm()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def slurm(private_slurm, lab, monkeypatch):
    """The same without jobs, for the laboratory of one test."""
    for name, text in (private_slurm.environment | {"OMP_NUM_THREADS": "1"}).items():
        monkeypatch.setenv(name, text)
    yield private_slurm
    private_slurm.command("scancel", "--user=root")
    private_slurm.wait_for_jobs(lambda states: not states)
