"""The page of a run in MLflow is found by the key of the stored run."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.errors import LabError
from pipeline.results.store import Store
from pipeline.results.tracker import rebuild, tracking_uri
from pipeline.results.tracking.pages import run_pages
from tests.support.results_builder import add_run


def test_each_run_that_is_shown_has_an_address(view: Path) -> None:
    keys = [add_run(Store(), seed=seed) for seed in (0, 1)]
    rebuild()
    add_run(Store(), seed=2)
    pages = run_pages("http://lab:5000/", ["digits", "never shown"])
    assert set(pages) == set(keys)
    for key, page in pages.items():
        start, _, number = page.rpartition("/")
        assert start == "http://lab:5000/#/experiments/1/runs"
        assert MlflowClient(tracking_uri()).get_run(number).data.tags["key"] == key


def test_a_tracker_that_cannot_be_used_is_told_in_a_line(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(lab))
    with pytest.raises(LabError, match="is the folder"):
        run_pages("http://lab:5000", ["digits"])
