"""The engine slurm against commands that answer from files."""

import os
import signal
from types import SimpleNamespace

import pytest

from pipeline.config import SlurmEngine
from pipeline.errors import LabError
from pipeline.grids.bundles import Bundle
from pipeline.grids.engines import slurm_commands
from pipeline.grids.engines.engine import Handle, Job
from pipeline.grids.engines.slurm import Slurm
from pipeline.grids.engines.slurm_job import QUEUE_AGAIN, SlurmJob
from tests.support.slurm_stand_in import StandIn

NO_NODE = "allocation failure: Requested node configuration is not available\n"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    stand_in = StandIn(tmp_path)
    monkeypatch.setenv("PATH", str(stand_in.programs), prepend=os.pathsep)
    return stand_in


@pytest.fixture
def batch(tmp_path):
    return SimpleNamespace(folder=tmp_path / "batch", grid="tiny", token="abc")


def engine(**settings):
    return Slurm("cluster", SlurmEngine(**settings))


def bundles(n, gpus=0, first=0):
    return [Bundle(first + k, gpus, "fp32", None, [first + k]) for k in range(n)]


def handle(*jobs):
    return Handle("cluster", (0,), "", {"jobs": [[job, [n]] for n, job in enumerate(jobs)]})


def asked(lines):
    """The flags of a job script."""
    return {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}


def test_arrays_are_split_by_the_largest_one_and_by_resources(cluster, batch):
    found = engine().submit(batch, [*bundles(5), *bundles(2, gpus=2, first=5)])

    assert [len(cluster.calls("sbatch")), found.bundles] == [2 + 3, (0, 1, 2, 3, 4, 5, 6)]
    assert found.facts["jobs"] == [
        ("10_0", (0,)), ("10_1", (1,)), ("10_2", (2,)), ("20_0", (3,)), ("20_1", (4,)),
        ("30_0", (5,)), ("30_1", (6,)),
    ]  # fmt: skip
    assert found.jobs == "Slurm jobs 10 20 30"
    alone, together = asked(cluster.script(1)), asked(cluster.script(3))
    assert alone >= {"array=0-2%3", "ntasks-per-node=1", "mem=16G", "time=120", "requeue"}
    assert not any(flag.startswith(("gpus", "dependency", "wckey")) for flag in alone)
    assert together >= {"array=0-1%2", "ntasks-per-node=2", "gpus-per-node=2", "mem=32G"}


def test_what_the_entry_says_reaches_sbatch(cluster, batch):
    chosen = engine(
        partition="long", account="physics", qos="low", gpus=1, cpus=3, memory="500M",
        time_minutes=60, setup=("module load x",), python="run python",
    )  # fmt: skip
    chosen.check()
    chosen.submit(batch, bundles(1, gpus=1))

    flags = {"partition=long", "account=physics", "qos=low", "gpus-per-node=1", "cpus-per-task=3",
             "mem=500M", "time=60", "ntasks-per-node=1"}  # fmt: skip
    assert flags <= asked(cluster.script(1))
    tried = cluster.calls("sbatch")[0].split()
    assert {f"--{flag}" for flag in flags} <= set(tried)
    lines = cluster.script(1)
    assert lines.index("module load x") < next(
        n for n, line in enumerate(lines) if line.startswith("srun") and " run python -u" in line
    )


def test_cells_that_share_a_gpu_are_tasks_of_one_job(cluster, batch):
    found = engine(per_gpu=2).submit(batch, bundles(3, gpus=1))

    assert found.facts["jobs"] == [("10_0", (0, 1)), ("10_1", (2,))]
    assert asked(cluster.script(1)) >= {"ntasks-per-node=2", "gpus-per-node=1", "mem=32G"}
    assert not any("--kill-on-bad-exit" in line for line in cluster.script(1))


def test_a_limit_of_parallel_jobs_holds_over_several_arrays(cluster, batch):
    engine(max_parallel=2).submit(batch, bundles(5))

    assert "array=0-2%2" in asked(cluster.script(1))
    assert asked(cluster.script(2)) >= {"array=0-1%2", "dependency=afterany:10"}


def test_an_array_that_is_refused_takes_the_others_with_it(cluster, batch):
    cluster.says("sbatch.2", "sbatch: error: Batch job submission failed: Job violates limits\n")

    with pytest.raises(LabError, match="Slurm refuses jobs .*Job violates limits") as failure:
        engine().submit(batch, bundles(5))
    assert str(failure.value).count("\n") == 0
    assert cluster.calls("scancel") == ["10"]


def test_nothing_is_submitted_that_the_cluster_would_not_grant(cluster, batch):
    cluster.says("test-only.error", NO_NODE)
    with pytest.raises(LabError, match=r"gpus-per-node=8: allocation failure: Requested node"):
        engine().submit(batch, bundles(1, gpus=8))
    assert not (cluster.folder / "submitted").exists()


def test_jobs_may_wait_for_nodes_that_are_away(cluster, batch):
    cluster.says("test-only.error", NO_NODE)
    cluster.says("away", "node7\n")
    assert engine().submit(batch, bundles(1, gpus=8)).jobs == "Slurm jobs 10"


def test_a_host_without_slurm_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="no Slurm on this host: sbatch, srun, squeue"):
        engine().check()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"partition": "mains"}, "partition mains; expected: one of long, main, short; try: main"),
        ({"partition": "short"}, "time_minutes: 120 on partition short, .*; expected: at most 20"),
        ({"partition": "long", "time_minutes": 43200}, "jobs end after 10080"),
    ],
)
def test_a_partition_has_to_exist_and_last(cluster, settings, told):
    with pytest.raises(LabError, match=told):
        engine(**settings).check()
    assert cluster.calls("sbatch") == []


def test_a_partition_without_limit_or_name_will_do(cluster):
    engine(time_minutes=43200).check()


def test_a_cluster_without_a_default_partition_needs_a_name(cluster):
    cluster.says("sinfo", "short|20:00\n")
    with pytest.raises(LabError, match="no partition, on a cluster without a default one"):
        engine().check()


def test_a_controller_that_gives_no_answer_is_not_waited_for(cluster, monkeypatch):
    monkeypatch.setattr(slurm_commands, "SECONDS", 0.2)
    (cluster.folder / "sinfo.hangs").touch()
    with pytest.raises(LabError, match=r"sinfo: no answer within 0.2 s; expected: a Slurm contr"):
        engine().check()


@pytest.mark.parametrize(
    ("line", "job"),
    [
        ("10|0|PENDING|0|Priority||", Job("10_0", (0,), "waiting", "Priority")),
        ("10|0|REQUEUE_HOLD|0|None||", Job("10_0", (0,), "waiting", "None")),
        ("10|0|RUNNING|0|None|n1|", Job("10_0", (0,), "running", "", "n1")),
        ("10|0|COMPLETING|0|None|n1|", Job("10_0", (0,), "running", "", "n1")),
        ("10|0|COMPLETED|0|None|n1|", Job("10_0", (0,), "ended", "", "n1")),
        ("10|0|CANCELLED|15|None|n1|",
         Job("10_0", (0,), "ended", "cancelled on n1", "n1", cancelled=True)),
        ("10|0|NODE_FAIL|1|None|n1|", Job("10_0", (0,), "ended", "node fail on n1", "n1")),
        ("10|0|TIMEOUT|15|TimeLimit|n1|", Job("10_0", (0,), "ended", "timeout on n1", "n1")),
        ("10|0|PREEMPTED|15|None|n1|", Job("10_0", (0,), "ended", "preempted on n1", "n1")),
        ("10|0|FAILED|256|NonZeroExitCode|n1|",
         Job("10_0", (0,), "ended", "exit status 1 on n1", "n1")),
        ("10|0|FAILED|36608|NonZeroExitCode|n1|",  # 143
         Job("10_0", (0,), "ended", "ended by SIGTERM on n1", "n1")),
        ("10|0|FAILED|35072|NonZeroExitCode|n1|",  # 137
         Job("10_0", (0,), "ended", "ended by SIGKILL on n1 (was memory short?)", "n1", True)),
        ("10|0|FAILED|0:11|NonZeroExitCode|n1|",
         Job("10_0", (0,), "ended", "ended by SIGSEGV on n1", "n1", True)),
        ("10|0|OUT_OF_MEMORY|0:125|OutOfMemory|n1|",
         Job("10_0", (0,), "ended", "killed on n1: out of memory", "n1", True)),
        ("11|0|RUNNING|0|None|n1|", Job("10_0", (0,), "ended")),
    ],
)  # fmt: skip
def test_how_a_job_stands(cluster, batch, line, job):
    cluster.says("squeue", line + "\n")
    assert engine().state(batch, handle("10_0"), 0.0) == [job]


def test_one_question_for_all_jobs_of_a_handle(cluster, batch):
    cluster.says("squeue", "10|0|RUNNING|0|None|n1|\n10|1|PENDING|0|None||\n20|N/A|PENDING|0|x||\n")

    found = engine().state(batch, handle("10_0", "10_1", "20"), 0.0)

    assert [(job.id, job.phase) for job in found] == [
        ("10_0", "running"), ("10_1", "waiting"), ("20", "waiting"),
    ]  # fmt: skip
    assert len(cluster.calls("squeue")) == 1
    assert "--jobs=10,20 " in cluster.calls("squeue")[0]


def test_jobs_that_slurm_has_forgotten_have_ended(cluster, batch):
    cluster.says("squeue.error", "slurm_load_jobs error: Invalid job id specified\n")
    assert engine().state(batch, handle("10_0"), 0.0) == [Job("10_0", (0,), "ended")]


def test_a_controller_may_be_away_for_a_while(cluster, batch):
    known = engine()
    cluster.says("squeue.error", "slurm_load_jobs error: Unable to contact slurm controller\n")
    with pytest.raises(LabError, match="squeue: .*Unable to contact"):
        known.state(batch, handle("10_0"), 0.0)
    (cluster.folder / "squeue.error").rename(cluster.folder / "away")
    cluster.says("squeue", "10|0|RUNNING|0|None|n1|\n")
    assert known.state(batch, handle("10_0"), 0.0)[0].phase == "running"
    (cluster.folder / "away").rename(cluster.folder / "squeue.error")
    assert known.state(batch, handle("10_0"), 0.0)[0].phase == "waiting"


@pytest.mark.parametrize("line", ["FAILED|4021|JobLaunchFailure", "FAILED|18944|NonZeroExitCode"])
def test_a_node_that_does_not_see_the_folder_stops_all_jobs(cluster, batch, line):
    cluster.says("squeue", f"10|0|{line}|n7|\n10|1|PENDING|0|None||\n")
    with pytest.raises(LabError, match=r"node n7 does not see .*/batch; try: .*|node n7 does not"):
        engine().state(batch, handle("10_0", "10_1"), 0.0)
    assert cluster.calls("scancel") == ["10"]


def test_all_jobs_of_a_handle_are_cancelled_at_once(cluster, batch):
    engine().cancel(batch, handle("10_0", "10_1", "20"))
    assert cluster.calls("scancel") == ["10 20"]


def test_jobs_do_not_inherit_the_job_that_submits_them(cluster, batch, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "here")
    (cluster.programs / "sbatch").write_text(
        f"#!/bin/bash\nenv > {cluster.folder}/env\necho Submitted batch job 10\n"
    )
    engine().submit(batch, bundles(1))
    left = (cluster.folder / "env").read_text()
    assert "SLURM_CONF=here" in left
    assert "SLURM_JOB_ID" not in left


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGUSR2, QUEUE_AGAIN), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_job_that_is_told_to_end_says_whether_it_wants_to_go_on(
    tmp_path, monkeypatch, number, status
):
    def carry_out(*words):
        signal.raise_signal(number)

    previous = {one: signal.getsignal(one) for one in (signal.SIGUSR2, signal.SIGTERM)}
    monkeypatch.setattr("pipeline.grids.worker.carry_out_bundle", carry_out)
    monkeypatch.setenv("SLURM_PROCID", "0")
    try:
        with pytest.raises(SystemExit) as ending:
            SlurmJob(tmp_path, "abc", (0,), together=False)()
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
    assert ending.value.code == status
