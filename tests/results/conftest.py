"""A laboratory whose MLflow database is made already: MLflow takes seconds for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.results.tracking.database import prepare_database


@pytest.fixture
def view(lab: Path, made_database: bytes) -> Path:
    """The database of a laboratory, made already."""
    path = lab / "mlflow.db"
    path.write_bytes(made_database)
    return path


@pytest.fixture(scope="session")
def made_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What MLflow makes: it takes seconds, so once for all tests."""
    path = tmp_path_factory.mktemp("made") / "mlflow.db"
    prepare_database(path)
    return path.read_bytes()
