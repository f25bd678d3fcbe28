"""What a grid shows: done and total, each running cell with its epoch, the end, failures."""

import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from pipeline.config import read_params
from pipeline.errors import Interrupted
from pipeline.grids.cells import cells
from pipeline.grids.expected import Ended, end_expected, seconds_left
from pipeline.grids.frozen_cell import FrozenCell
from pipeline.grids.news import Event, Reader, Reporter, news_path
from pipeline.grids.progress import Progress
from pipeline.grids.status import print_status
from pipeline.results.store import Store
from pipeline.runs.telling import Milestone
from tests.support.engines import compute
from tests.support.lab import PARAMS, write_params
from tests.support.runs import planned, stop_at_step


def cell(number, seconds=None):
    text = f"robust_loss gce digits pair-40 seed 0 q 0.{number}"
    return FrozenCell(f"r{number}", text, "", "", "", "", [], None, [], 0, "fp32", seconds)


def six_cells(seconds=60.0, before=4):
    found = [cell(number, seconds) for number in range(6)]
    return SimpleNamespace(grid="tiny", cells=found, n_cells=len(found) + before)


def event(key, what, detail="", seconds=0.0):
    return Event(time.time(), key, what, detail, seconds, "node", 1)


def test_what_is_left_is_known_by_past_runs_less_what_has_been_computed():
    assert seconds_left([cell(1, 60.0), cell(2, 60.0)], {"r1": 15.0}, []) == 105.0
    assert seconds_left([cell(1, 60.0)], {"r1": 75.0}, []) == 0.0
    untold = [Ended(None, 10.0), Ended(None, 30.0)]
    assert seconds_left([cell(1, 60.0), cell(2)], {}, untold) == 80.0
    twice_as_fast = [Ended(60.0, 20.0), Ended(20.0, 20.0)]
    assert seconds_left([cell(1, 60.0), cell(2, 100.0)], {"r1": 15.0}, twice_as_fast) == 65.0
    assert seconds_left([cell(1, 60.0), cell(2)], {}, []) is None
    assert end_expected(180.0).endswith(", in 3.0 min")


def test_plain_lines_tell_of_ends_failures_and_what_runs_in_a_long_silence(capsys, monkeypatch):
    batch = six_cells()
    progress = Progress(batch, slots=2)
    progress.happened(0, event("r0", "begun"))
    progress.happened(1, event("r1", "begun"))
    progress.happened(1, event("r1", "resumed", "5/150"))
    progress.happened(0, event("r0", "epoch", "3/150"))
    progress.waited()
    later = time.time() + 61.0
    monkeypatch.setattr("pipeline.grids.progress.time.time", lambda: later)
    progress.waited()
    progress.waited()
    progress.happened(0, event("r0", "failed", "no labels", 61.0))
    progress.ended(batch.cells[0], "failed", "no labels")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"r1 resumes after epoch 5/150: {batch.cells[1].text}"
    # Two cells are overdue; four of a minute each are left for two workers.
    assert lines[1].startswith("4 of 10 cells; end expected ")
    assert lines[1].endswith(", in 2.0 min; running: r0 3/150, r1 5/150")
    assert lines[2].startswith(f"r0 failed   {batch.cells[0].text} no labels [5 of 10 cells; ")
    assert len(lines) == 3
    assert "\r" not in "".join(lines)


def test_the_table_has_a_line_for_each_cell_with_its_epoch(capsys):
    batch = six_cells()
    progress = Progress(batch, slots=2)
    for number in (0, 1):
        progress.happened(number, event(f"r{number}", "begun"))
    progress.happened(1, event("r1", "epoch", "of its encoder, 7/20"))
    Console(width=120).print(progress._table())
    title, *_, first, second = capsys.readouterr().out.splitlines()
    assert title.startswith("tiny: 4 of 10 cells; end expected ")
    assert batch.cells[0].text in first
    assert "epoch" not in first
    assert "q 0.1  epoch of its encoder, 7/20  node" in second


def test_a_reporter_tells_of_a_resumed_cell_and_of_an_epoch_a_second(lab, monkeypatch):
    run, path = planned(epochs=9), news_path(lab, 3)
    reporter = Reporter(path)
    reporter.begun(run.key)
    clock = time.perf_counter()
    reporter.told(Milestone(run, 2))
    for n_done, seconds in ((3, 0.5), (4, 1.5), (5, 2.0), (6, 2.6)):
        monkeypatch.setattr(
            "pipeline.grids.news.time.perf_counter", lambda seconds=seconds: clock + seconds
        )
        reporter.told(Milestone(run, n_done, {}))
    told = [(bundle, one.what, one.detail) for bundle, one in Reader(lab).new()]
    assert told == [
        (3, "begun", ""), (3, "resumed", "2/9"), (3, "epoch", "4/9"), (3, "epoch", "6/9"),
    ]  # fmt: skip


def test_a_grid_in_this_program_prints_epochs_and_a_stopped_one_is_no_running_one(
    lab, monkeypatch, capsys
):
    block = {"method": "robust_loss", "loss": "gce", "q": [0.3, 0.9], "epochs": 2}
    write_params(lab, PARAMS | {"grid": PARAMS["grid"] | {"runs": [block]}})
    all_cells = cells(read_params())
    with monkeypatch.context() as stopped:
        stop_at_step(stopped, 25)
        with pytest.raises(Interrupted):
            compute(all_cells)
    out = capsys.readouterr().out
    (first,) = Store().runs().collect()["key"]
    assert f"run {first} begins, 2 epochs" in out
    assert "\nepoch 1/2  loss " in out
    print_status("single", read_params())  # the usual group of runs
    assert "0 done, 0 running, 2 waiting (1 stopped), 0 failed" in capsys.readouterr().out
    compute(all_cells)
    out = capsys.readouterr().out
    assert f"{first} resumes after epoch 1/2: " in out
    for one, q in zip(all_cells, (0.3, 0.9), strict=True):
        assert f"{one.key} done     robust_loss gce digits symmetric-40 seed 0 q {q}" in out
    assert "[2 of 2 cells]" in out
