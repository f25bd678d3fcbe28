"""Who holds a claim, and whether a host can know that it is gone."""

import os
import subprocess
import sys

import pytest

from pipeline.results.claims import holder
from pipeline.results.claims.holder import Holder


def body(found):
    import json

    return json.dumps({"holder": found.facts()}).encode()


def test_this_process_is_there_and_reads_back():
    me = Holder.me()
    assert Holder.read(body(me)) == me
    assert not me.is_gone
    assert me.pid == os.getpid()


def test_an_ended_process_and_a_later_one_of_its_pid_are_gone():
    me = Holder.me()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert Holder(me.host, "", ended.pid, me.machine, me.started).is_gone
    assert Holder(me.host, "", me.pid, me.machine, "1").is_gone


def test_a_process_that_ended_and_that_nobody_has_fetched_is_gone():
    me = Holder.me()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    its = Holder(me.host, "", child.pid, me.machine, holder._start_of(child.pid))
    assert not its.is_gone
    os.kill(child.pid, 9)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert its.is_gone
    child.communicate()


@pytest.mark.parametrize("machine", ["", "another boot/1"])
def test_nothing_is_known_of_another_machine(machine):
    assert not Holder("node7", "4711", 2**22 + 1, machine, "1").is_gone


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"holder": {"host": "a"}}', b"\xff"])
def test_a_claim_that_cannot_be_read_has_an_unknown_holder(text):
    assert not Holder.read(text).is_gone
    assert str(Holder.read(text)) == "an unknown host"


def test_the_job_of_an_engine_is_named(monkeypatch):
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", *holder._JOBS):
        monkeypatch.delenv(name, raising=False)
    assert holder._job() == ""
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    assert holder._job() == "4712"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert holder._job() == "4711_3"
    assert str(Holder("node7", "4711_3")) == "node7, job 4711_3"
