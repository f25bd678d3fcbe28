"""What is printed to open runs in MLflow names their experiment, and never a password."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from pipeline.results.store import Store
from pipeline.results.tracker import how_to_open, rebuild
from pipeline.results.tracking import address
from tests.support.results_builder import add_run

PAGES = "http://127.0.0.1:5000/#/experiments"
KIND = "?workflowType=machine_learning"


@pytest.mark.slow
def test_the_address_opens_the_runs_of_a_data_set_as_model_training(
    view: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert how_to_open("digits") == f"uv run mlflow ui, then {PAGES}{KIND}"
    add_run(Store())
    rebuild()
    monkeypatch.delattr(address, "connect")  # which loads MLflow
    assert how_to_open("digits") == f"uv run mlflow ui, then {PAGES}/1/runs{KIND}"
    assert how_to_open("others") == f"uv run mlflow ui, then {PAGES}{KIND}"


def test_no_database_is_made_by_looking(lab: Path) -> None:
    assert how_to_open("digits").endswith(KIND)
    assert not (lab / "mlflow.db").exists()


def test_a_server_is_asked_for_seconds_and_its_password_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(address, "_ASKED_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{place}/")
        began = time.monotonic()
        assert how_to_open("digits") == f"http://{place}/#/experiments{KIND}"
        assert time.monotonic() - began < 5
