"""Whatever befalls the tracker, runs go on at once and one command brings the view back."""

from __future__ import annotations

import multiprocessing
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from mlflow import MlflowClient

from pipeline.errors import LabError
from pipeline.results import tracker
from pipeline.results.store import Store
from pipeline.results.tracker import LiveView, prepare_view, rebuild
from pipeline.results.tracking import limits
from pipeline.results.tracking.client import explained, prepare
from pipeline.results.tracking.database import prepare_database, sqlite_uri
from pipeline.results.tracking.shown import LAYOUT
from tests.support.results_builder import add_run, run_row

REMEDY = "uv run python -m pipeline.results.tracker rebuild"


def shown(dataset: str = "digits") -> list[str]:
    client = MlflowClient(tracker.tracking_uri())
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id])
    return sorted(run.data.tags["key"] for run in runs if "key" in run.data.tags)


def live(row: dict[str, object]) -> LiveView:
    """Show a whole run, as the frame does."""
    running = LiveView(True)
    running.start(row | {"status": "running"}, [])
    running.epoch({"epoch": 0, "test_accuracy": 0.5, "scalars": {}})
    running.finish(row, [{"epoch": 0, "test_accuracy": 0.5, "scalars": {}}])
    return running


def complained(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a failing view leaves."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: MLflow view off: ")
    assert "; expected: " in line
    assert "; try: " in line
    assert REMEDY in line
    assert len(line) < 600
    return str(line)


def test_a_thousand_stored_runs_take_one_search(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [f"r{number}" for number in range(1000)]
    rows = pl.DataFrame(
        {
            "key": keys,
            "group": keys,
            "seed": 0,
            "status": "done",
            "dataset": "digits",
            "started_at": None,
        }
    ).lazy()
    source = SimpleNamespace(require=lambda: None, runs=lambda: rows, epochs=None)
    searches = []
    shown_whole = {"complete": "true"} | LAYOUT

    class StandIn:
        def get_experiment_by_name(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(experiment_id="1", lifecycle_stage="active")

        def search_runs(self, *_: object, **__: object) -> list[SimpleNamespace]:
            searches.append(None)
            page = Page(
                SimpleNamespace(data=SimpleNamespace(tags=shown_whole | {"key": key}))
                for key in keys
            )
            page.token = None
            return page

    class Page(list[SimpleNamespace]):
        token: str | None

    monkeypatch.setattr(tracker, "Store", lambda _: source)
    monkeypatch.setattr(tracker, "connect", StandIn)
    monkeypatch.setattr(tracker, "prepare", lambda: None)
    rebuild()
    assert len(searches) == 1
    assert capsys.readouterr().out == "0 runs mirrored to MLflow, 0 means over seeds\n"


def test_a_deleted_experiment_comes_back(view: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [add_run(Store(), seed=seed) for seed in range(2)]
    rebuild()
    client = MlflowClient(tracker.tracking_uri())
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    keys.append(add_run(Store(), seed=2))
    rebuild()
    assert shown() == sorted(keys)
    client.delete_experiment(experiment.experiment_id)
    live(run_row(seed=3))
    assert len(shown()) == 4
    assert capsys.readouterr().err == ""


def test_an_experiment_deleted_during_a_run_ends_its_view_only(
    view: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = LiveView(True)
    running.start(run_row(status="running"), [])
    client = MlflowClient(tracker.tracking_uri())
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    running.finish(run_row(), [])
    complained(capsys)
    key = add_run(Store())
    rebuild()
    assert shown() == [key]


def text_file(path: Path) -> None:
    path.write_text("no database")


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
        database.commit()


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("broken", [text_file, other_tables, a_folder])
def test_what_is_no_database_is_named_at_once(
    lab: Path, broken, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(lab / "mlflow.db")
    began = time.monotonic()
    live(run_row())
    assert time.monotonic() - began < 2
    assert "mlflow.db" in complained(capsys)
    add_run(Store())
    with pytest.raises(LabError, match=r"expected: .*; try: .*rebuild"):
        rebuild()


def test_a_locked_database_is_named_at_once(view: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_run(Store())
    with closing(sqlite3.connect(view)) as database:
        database.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        live(run_row())
        assert time.monotonic() - began < 2
        assert "try: close the program that uses it" in complained(capsys)
        with pytest.raises(LabError, match="locked"):
            rebuild()
    rebuild()
    assert len(shown()) == 1


@pytest.mark.parametrize(
    "place", ["./mlruns", "file:mlruns", "http://127.0.0.1:9", "sqlite:////proc/no/mlflow.db"]
)
def test_a_place_that_cannot_be_used_has_a_remedy(
    lab: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    began = time.monotonic()
    prepare_view(["digits"])
    live(run_row())
    assert time.monotonic() - began < 4
    assert capsys.readouterr().err.count("; try: ") == 2
    add_run(Store())
    with pytest.raises(LabError, match="expected: .*; try: .*rebuild"):
        rebuild()


def half_made(path: Path, statement: str) -> None:
    """A database as SIGKILL leaves it while MLflow makes it."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE alembic_version",
        "DELETE FROM alembic_version",
        "UPDATE alembic_version SET version_num = '451aebb31d03'",
    ],
)
def test_a_half_made_database_is_made_again(
    view: Path, made_database: bytes, statement: str
) -> None:
    half_made(view, statement)
    view.with_name("mlflow.db-journal").write_bytes(b"left behind")
    view.with_name(".mlflow.db.new").write_bytes(b"left behind")
    prepare_database(view, lambda path: path.write_bytes(made_database))
    assert not view.with_name(".mlflow.db.new").exists()
    assert not view.with_name("mlflow.db-journal").exists()
    key = add_run(Store())
    rebuild()
    assert shown() == [key]


def test_a_whole_database_is_kept_whether_or_not_it_holds_runs(view: Path) -> None:
    before = view.stat().st_ino
    prepare()
    add_run(Store())
    rebuild()
    prepare()
    assert view.stat().st_ino == before
    assert len(shown()) == 1


@pytest.mark.slow
def test_programs_that_start_at_once_all_get_their_view(lab: Path) -> None:
    # Forked, so that MLflow is not loaded six times.
    context = multiprocessing.get_context("fork")
    programs = [
        context.Process(target=LiveView(True).start, args=(run_row(seed=seed), []))
        for seed in range(6)
    ]
    for program in programs:
        program.start()
    for program in programs:
        program.join(240)
        assert program.exitcode == 0
    assert len(shown()) == 6


@pytest.fixture(params=["a byte now and then", "without end"])
def slow_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server whose answer never ends."""
    part, pause = (b"x", 0.05) if "byte" in request.param else (b"x" * 65536, 0)
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
            try:
                connection.sendall(head)
                while not ended.wait(pause):
                    connection.sendall(part)
            except OSError:
                return

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()


GIVEN_UP = pytest.mark.filterwarnings(
    "ignore:(?s).*SystemExit:pytest.PytestUnraisableExceptionWarning"
)
"""A call that is given up may be within the callback of a weak reference, which Python reports."""


def wait_for_calls() -> None:
    """Until what was given up has ended."""
    deadline = time.monotonic() + 20
    while any(thread.name == "tracker" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a call goes on"
        time.sleep(0.05)


@GIVEN_UP
def test_a_server_that_never_ends_its_answer_holds_no_run(
    view: Path,
    slow_server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare()
    capsys.readouterr()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", slow_server)
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(LiveView, "quiet_until", 0.0)
    began = time.monotonic()
    live(run_row())
    assert time.monotonic() - began < 5
    assert "no answer within 1 s" in complained(capsys)
    # The next runs of the program do not wait again.
    began = time.monotonic()
    live(run_row(seed=1))
    assert time.monotonic() - began < 0.5
    assert capsys.readouterr().err == ""
    wait_for_calls()


def test_a_call_that_misses_the_word_to_end_gets_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_AGAIN_SECONDS", 0.05)
    missed: list[BaseException] = []

    def deaf_once() -> None:
        try:
            while True:
                time.sleep(0.01)
        except SystemExit as word:
            missed.append(word)
        while True:
            time.sleep(0.01)

    with pytest.raises(limits.TooSlow):
        limits.within(0.05, deaf_once)
    wait_for_calls()
    assert len(missed) == 1


@GIVEN_UP
def test_the_time_of_all_calls_together_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(limits, "LATER_SECONDS", 0.3)
    allowance = limits.Allowance()
    allowance.call(time.sleep, 0.2)
    began, n_calls = time.monotonic(), 0
    while n_calls < 10:
        try:
            allowance.call(time.sleep, 0.1)
        except limits.TooSlow:
            break
        n_calls += 1
    assert n_calls in {2, 3}
    assert time.monotonic() - began < 1
    with pytest.raises(ZeroDivisionError):
        limits.within(1, lambda: 1 / 0)
    wait_for_calls()


def test_passwords_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "postgresql://lab:secret1@db:5432/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    for failure in (limits.TooSlow(20), ConnectionError(f"no route to {place}\nand more")):
        line = str(explained(failure))
        assert "secret1" not in line
        assert "db:5432" in line
        assert "\n" not in line


def test_a_link_stays_a_link_to_the_mounted_folder(tmp_path: Path, made_database: bytes) -> None:
    mounted, link = tmp_path / "tracker", tmp_path / "mlflow.db"
    mounted.mkdir()
    link.symlink_to(Path("tracker") / "mlflow.db")
    prepare_database(link, lambda path: path.write_bytes(made_database))
    assert link.is_symlink()
    assert (mounted / "mlflow.db").read_bytes() == made_database


def test_a_path_with_signs_of_addresses_is_one_file(tmp_path: Path) -> None:
    from sqlalchemy.engine import make_url

    for name in ("a b", "100%20", "x?y#z", "é&=;"):
        path = tmp_path / name / "mlflow.db"
        assert make_url(sqlite_uri(path)).database == str(path)
