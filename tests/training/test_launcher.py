"""Under a launcher an error is told once, and what the launcher says of it is told apart."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pipeline import errors
from pipeline.errors import LabError, ToldElsewhere, program
from pipeline.training import launcher
from pipeline.training.launcher import apart_from_launcher, told_by_one

FAULT = LabError("epochs = 0", "at least 1", "--epochs 1")
ALONE = ["/bin/python", "/bin/accelerate", "launch", "methods/sln.py"]


@apart_from_launcher
@program
def script():
    with told_by_one():
        raise FAULT


@pytest.fixture
def started_by(monkeypatch):
    """Pretend that this program was started by a command, or as one of two processes."""
    monkeypatch.setattr(errors, "_OTHER_FIRST_SECONDS", 0.0)
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)

    def start(words, rank=None):
        parent = SimpleNamespace(cmdline=lambda: words)
        monkeypatch.setattr(launcher.psutil, "Process", lambda _: parent)
        if rank is not None:
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("LOCAL_RANK", str(rank))

    return start


def ended(capsys):
    with pytest.raises(SystemExit) as ending:
        script()
    assert ending.value.code == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["bash"], []),
        (ALONE, ["note: the launcher reports this once more; accelerate launch --quiet leaves "
                 "that out"]),
        ([*ALONE[:3], "--quiet", ALONE[3]], []),
    ],
)  # fmt: skip
def test_what_a_launcher_of_one_process_adds_is_named(started_by, capsys, words, note):
    started_by(words)
    assert ended(capsys) == [f"error: {FAULT}", *note]


def test_of_several_processes_the_first_one_tells(started_by, capsys):
    started_by(ALONE, rank=0)
    said = [f"error: {FAULT}", "note: what follows is the launcher's report of the same error"]
    assert ended(capsys) == said
    started_by(ALONE, rank=1)
    assert ended(capsys) == []


def test_who_tells_nothing_lets_the_other_one_tell_first(started_by, monkeypatch):
    waited = []
    monkeypatch.setattr(errors, "_OTHER_FIRST_SECONDS", 10.0)
    monkeypatch.setattr(errors.time, "sleep", waited.append)
    started_by(ALONE, rank=1)
    with pytest.raises(SystemExit):
        script()
    assert waited == [10.0]
    assert issubclass(ToldElsewhere, LabError)


def test_a_program_that_ends_well_says_nothing(started_by, capsys):
    started_by(ALONE)
    apart_from_launcher(lambda: None)()
    with pytest.raises(SystemExit):
        apart_from_launcher(lambda: sys.exit(0))()
    assert capsys.readouterr().err == ""
