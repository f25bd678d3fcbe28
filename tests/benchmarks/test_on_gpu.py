"""The benchmark of one GPU: its parts by themselves, and all of it on a CPU."""

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks.gpu.isolation import NO_TIME, rows_of
from benchmarks.gpu.laboratory import TINY, Size
from benchmarks.gpu.methods import (
    PLAIN,
    beside_cross_entropy,
    methods,
    settings_of,
    title,
)
from benchmarks.gpu.report import Report, shown, table
from benchmarks.gpu.sections import sections_of
from benchmarks.gpu.stopwatch import counts_of
from pipeline.errors import LabError
from pipeline.files import methods_folder
from tests.support.paths import PROJECT


def measured(item):
    """A measurement that ends in the way its item says."""
    match item:
        case "fails":
            raise LabError("given", "allowed", "remedy")
        case "leaves":
            sys.exit(3)
        case "dies":
            os._exit(7)
        case "hangs":
            time.sleep(60)
    return {"value": len(item), "process": os.getpid()}


def test_what_one_item_does_is_its_own_row():
    items = ["first", "fails", "second", "dies", "leaves", "last"]
    rows = dict(rows_of(items, measured, seconds=60))
    assert list(rows) == items
    assert (rows["first"]["value"], rows["last"]["value"]) == (5, 4)
    assert rows["first"]["process"] == rows["second"]["process"] != rows["last"]["process"]
    assert rows["fails"]["error"].startswith("LabError: given; expected: allowed")
    assert "test_on_gpu.py" in rows["fails"]["traceback"]
    assert rows["dies"]["error"] == "its process ended with exit code 7"
    assert rows["leaves"]["error"].startswith("SystemExit: 3")


def test_an_item_that_hangs_is_ended_and_the_rest_is_not_run(monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.isolation._GRACE", 0.1)
    rows = dict(rows_of(["first", "hangs", "last"], measured, seconds=0.4))
    assert "value" in rows["first"]
    assert rows["hangs"]["error"] == "stopped: no time left"
    assert rows["last"]["error"] == NO_TIME


def test_counts_are_of_one_step():
    events = [("cudaLaunchKernel", 30), ("Memcpy DtoH (Device -> Pageable)", 6), ("aten::add", 9)]
    counts = counts_of(events, 3)
    assert counts["launches"] == 10
    assert counts["to_host"] == 2
    assert counts["operators"] == 3
    assert counts["to_device"] == counts["waits"] == 0


def test_every_method_is_measured_under_a_name_of_its_own():
    names = {path.stem for path in methods_folder().glob("[!_]*.py")}
    items = methods()
    assert items[0] == PLAIN
    assert len(set(items)) == len(items)
    assert {settings_of(item)[0] for item in items} == names
    assert all(title(*settings_of(item)) == item for item in items)


def test_a_method_is_judged_by_its_time_over_its_arithmetic():
    rows = {PLAIN: {"ms": 2.0, "gflop": 10.0}, "other": {"ms": 5.0, "gflop": 20.0}, "lost": {}}
    beside_cross_entropy(rows)
    assert (rows["other"]["ratio"], rows["other"]["arithmetic"]) == (2.5, 2.0)
    assert rows["other"]["over"] == 1.25
    assert rows["lost"] == {}


def test_rows_are_a_table_and_a_file_at_once(tmp_path):
    rows = {"one": {"ms": 1234.5, "seconds": 2.0}, "two": {"error": "RuntimeError: why"}}
    text = table("methods", rows, 3.0)
    assert [line.split() for line in text.splitlines()[1:4]] == [
        ["methods", "ms", "s"], ["one", "1,234", "2"], ["two", "-", "-"],
    ]  # fmt: skip
    assert text.splitlines()[-1] == "  two: error: RuntimeError: why"
    assert shown(0.12345) == "0.123"
    report = Report(tmp_path / "out.json")
    report.note(imports_s=1.0)
    report.keep("methods", rows, 3.0)
    kept = json.loads((tmp_path / "out.json").read_text())
    assert kept["sections"]["methods"]["rows"] == rows


def test_sections_fit_eight_minutes_but_for_what_comes_last():
    sections = sections_of(Size())
    assert [section.name for section in sections[:3]] == ["device", "inputs", "methods"]
    assert sections[-1].name == "compiled"
    assert all(section.items for section in sections_of(TINY))


@pytest.mark.slow
def test_everything_runs_on_a_cpu(tmp_path):
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, str(PROJECT / "benchmarks" / "on_gpu.py"), "--tiny", "--out", str(out)],
        check=False, capture_output=True, text=True, timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["sections"]
    assert list(found) == [section.name for section in sections_of(TINY)]
    errors = {
        f"{name}: {item}": row["error"]
        for name, section in found.items()
        for item, row in section["rows"].items()
        if "error" in row
    }
    assert errors == {}
    repeats = found["repeat"]["rows"].values()
    assert {row["repeats"] for row in repeats} == {row["resumes"] for row in repeats} == {"equal"}
