"""Benchmarks use what the project has today: each can be imported, and says how it is started."""

import importlib

import pytest

from tests.support.paths import PROJECT

NAMES = sorted(path.stem for path in (PROJECT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_can_be_imported_and_names_its_command(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert f"benchmarks/{name}.py" in (module.__doc__ or "")
