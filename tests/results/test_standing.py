"""A run that was stopped or killed is not shown as running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from analysis.comparison import compare
from analysis.layouts.layout import lay_out
from analysis.report import write_report
from pipeline.errors import LabError
from pipeline.results.claims import claim
from pipeline.results.store import Store
from pipeline.results.tracking import shown
from pipeline.results.view import results, stored
from pipeline.storage.place import Place
from tests.support.results_builder import add_run, run_row

STOP = "stopped by SIGTERM; the state is saved, the same command continues"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One run of each kind: ended, computed now, stopped by a signal, killed."""
    store = Store(tmp_path / "store")
    add_run(store, (0.5,), seed=0)
    for seed, detail in ((1, None), (2, STOP), (3, None)):
        store.write_run(run_row(seed=seed, status="running", status_detail=detail))
    held = claim(store.place, run_row(seed=1)["key"])
    assert held is not None
    yield store
    held.release()


def statuses(store: Store) -> list[str]:
    return results((), store).runs.sort("seed").collect()["status"].to_list()


def test_only_what_a_program_computes_is_running(store: Store) -> None:
    assert statuses(store) == ["done", "running", "stopped", "stopped"]
    assert stored((), store).runs.sort("seed").collect()["status"].to_list()[2] == "running"


@pytest.mark.slow
def test_tables_and_the_report_say_so(store: Store, tmp_path: Path) -> None:
    found = results((), store)
    assert lay_out(compare(found)).rows[0][1].text == "50.0 (1, 2 stopped, 1 running)"
    some = compare(found, where={"status": ["done", "stopped"]})
    assert lay_out(some).rows[0][1].text == "50.0 (1, 2 stopped)"
    write_report(found, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "1 done, 1 running, 2 stopped" in page
    assert "+ 2 stopped + 1 running" in " ".join(page.split())


def test_who_may_only_read_the_store_takes_every_claim_for_a_program(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: Place) -> None:
        raise LabError("no permission", "a folder that can be written")

    monkeypatch.setattr(Place, "now", refuse)
    assert statuses(store) == ["done", "running", "stopped", "stopped"]


def test_mlflow_shows_a_stopped_run_as_stopped() -> None:
    client = Mock()
    row = run_row(status="running", status_detail=STOP)
    shown.complete(client, "1", row, [])
    tags = {tag.key: tag.value for tag in client.log_batch.call_args.kwargs["tags"]}
    assert (tags["status"], tags["complete"]) == ("stopped", "false")
    assert "seed 0: stopped." in tags["mlflow.note.content"]
    assert client.set_terminated.call_args.args == ("1", "KILLED")
