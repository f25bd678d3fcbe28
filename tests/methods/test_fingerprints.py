"""Numbers move only with a version, so that stored runs are never answered for other numbers."""

import json

import pytest

from pipeline.identity import SCHEMA_VERSION
from pipeline.runs.settings.methods import load_method
from tests.support.fingerprints import (
    ENCODERS,
    METHODS,
    RUNS,
    STREAMS,
    command,
    run_fingerprint,
    stream_fingerprints,
)
from tests.support.lab import PARAMS, write_params

RECORDED = json.loads(RUNS.read_text())


_QUICK = ("robust_loss", "sln")
"""Whole runs of about a second."""


@pytest.mark.parametrize(
    "name",
    [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in METHODS],
)
def test_a_whole_run_moves_only_with_a_version(lab, name):
    if name not in RECORDED:
        pytest.fail(f"methods/{name}.py has no fingerprint; record it: {command(name)}")
    stored = RECORDED[name]
    versions = {"version": load_method(name).VERSION, "schema": SCHEMA_VERSION}
    if versions != {part: stored[part] for part in versions}:
        pytest.fail(f"{name} has another version than its fingerprint; record it: {command(name)}")
    write_params(lab, PARAMS | {"encoders": ENCODERS})
    found = run_fingerprint(name)["losses"]
    for optimizer, losses in stored["losses"].items():
        # Other kernels round otherwise: in 16 steps differences grow from 1e-7 to 1e-5.
        expected = {column: pytest.approx(values, rel=1e-4) for column, values in losses.items()}
        assert found[optimizer] == expected, (
            f"{name} with {optimizer} moved: stored runs no longer are what their keys say. Meant? "
            f"Raise VERSION of the method (SCHEMA_VERSION if all moved), then: {command(name)}"
        )


def test_random_streams_move_only_with_the_schema():
    stored, found = json.loads(STREAMS.read_text()), stream_fingerprints()
    moved = [name for name in stored | found if stored.get(name) != found.get(name)]
    assert not moved, (
        f"other integers are drawn: {', '.join(moved)}. Meant? Raise SCHEMA_VERSION in "
        f"pipeline/identity.py, then: {command()}"
    )
    assert len(set(found.values())) == len(found)
