"""The engine slurm on a real Slurm of one node: what becomes of cells when things go wrong."""

import signal
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from pipeline.config import Execution, SlurmEngine, params_path, read_params
from pipeline.errors import LabError
from pipeline.grids.batch import batches_folder
from pipeline.grids.bundles import add_bundles
from pipeline.grids.cells import cells
from pipeline.grids.engines.engine import handles
from pipeline.grids.engines.slurm import Slurm
from pipeline.grids.news import Reader
from pipeline.grids.run import frozen_for, missing_cells, run_batch, submit_batch
from tests.support.engines import compute
from tests.support.lab import PARAMS, write_params
from tests.support.programs import PYTHON, start
from tests.support.runs import checkpoint_path, numbers, row
from tests.support.servers import wait_until
from tests.support.slurm import LARGEST_ARRAY

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

GRID = (PYTHON, "-m", "pipeline.stages.runs", "--no-tracking", "--engine", "cluster")
CPUS = {"kind": "slurm", "gpus": 0, "cpus": 1, "memory": "500M"}
SHORT = {"method": "robust_loss", "loss": ["ce", "dal"], "epochs": 1}
LONG = {"method": "robust_loss", "loss": "ce", "epochs": 30}
OFTEN = Execution(tracking=False, grid="tiny", checkpoint_seconds=0.3)


def write_grid(folder, *runs, seeds=(0,), engine=CPUS):
    grid = PARAMS["grid"] | {"runs": list(runs), "seeds": list(seeds)}
    write_params(folder, PARAMS | {"grid": grid, "engines": {"cluster": engine}})


def engine(**settings):
    found = Slurm("cluster", SlurmEngine(**(CPUS | settings)))
    found.pause = 1.0
    return found


def frozen(used, execution=OFTEN):
    """A batch of what the grid of the laboratory misses, and its cells."""
    params, all_cells = read_params(), cells(read_params())
    missing = missing_cells(all_cells)
    return frozen_for(used, missing, len(missing), params, params_path(), execution), all_cells


def uninterrupted(folder, monkeypatch):
    """Numbers of the first cell of the grid, computed in this process into a store of its own."""
    with monkeypatch.context() as patched:
        patched.setenv("LNL_STORE", str(folder))
        all_cells = cells(read_params())
        assert compute(all_cells) == Counter(done=1)
        return numbers(all_cells[0].key)


def equal(one, other):
    return all(mine.equals(theirs) for mine, theirs in zip(one, other, strict=True))


def checkpoint(cell):
    wait_until(lambda: checkpoint_path(cell.key).exists(), 300)


def ids(batch):
    return [job for handle in handles(batch) for job, _ in handle.facts["jobs"]]


@contextmanager
def drained(slurm):
    """While entered, the node takes no jobs."""
    slurm.command("scontrol", "update", "NodeName=localhost", "State=DRAIN", "Reason=test")
    try:
        yield
    finally:
        slurm.command("scontrol", "update", "NodeName=localhost", "State=RESUME")


def program(slurm):
    """The process of the job that runs."""
    return next(one for one in slurm.jobs() if "submitit.core._submit" in one.cmdline()[-2:])


def test_a_job_told_to_make_room_is_queued_again_and_continues_with_equal_numbers(
    slurm, lab, tmp_path, monkeypatch
):
    write_grid(lab, LONG)
    expected = uninterrupted(tmp_path / "other", monkeypatch)
    used = engine()
    batch, (cell,) = frozen(used)
    submit_batch(batch, used)
    checkpoint(cell)
    slurm.command("scancel", "--signal=USR2", *ids(batch))
    slurm.wait_for_jobs(lambda states: states == ["PENDING"])
    slurm.wait_for_jobs(lambda states: not states, 300)

    assert [row(cell.key)[name] for name in ("status", "resumed")] == ["done", 1]
    assert equal(numbers(cell.key), expected)
    told = [event.what for _, event in Reader(batch.folder).new()]
    # An epoch is told only where the last word is seconds old, as it is on a slow machine.
    assert [what for what in told if what not in {"resumed", "epoch"}] == [
        "begun", "stopped", "begun", "done",
    ]  # fmt: skip


def test_a_job_that_a_more_urgent_one_displaces_continues(slurm, lab):
    write_grid(lab, LONG)
    used = engine(cpus=2)
    batch, (cell,) = frozen(used)
    submit_batch(batch, used)
    checkpoint(cell)
    slurm.command("sbatch", "--partition=urgent", "--output=/dev/null", "--wrap=sleep 1")
    slurm.wait_for_jobs(lambda states: states == ["PENDING"])
    slurm.wait_for_jobs(lambda states: not states, 300)

    assert [row(cell.key)[name] for name in ("status", "resumed")] == ["done", 1]


def test_a_job_continues_after_its_node_was_lost(slurm, lab):
    write_grid(lab, LONG)
    used = engine()
    batch, (cell,) = frozen(used)
    submit_batch(batch, used)
    checkpoint(cell)
    slurm.crash_node()
    slurm.start_node()
    slurm.wait_for_jobs(lambda states: not states, 400)

    assert [row(cell.key)[name] for name in ("status", "resumed")] == ["done", 1]


def test_a_worker_that_is_killed_costs_no_other_cell(slurm, lab):
    write_grid(lab, LONG, SHORT)
    used = engine(max_parallel=1)
    batch, all_cells = frozen(used)

    def kill():
        checkpoint(all_cells[0])
        program(slurm).send_signal(signal.SIGKILL)

    threading.Thread(target=kill).start()
    assert run_batch(batch, used) == Counter(done=3)
    assert row(all_cells[0].key)["resumed"] == 1


def test_jobs_go_on_without_the_program_that_submitted_them_and_two_programs_share_the_work(
    slurm, lab
):
    write_grid(lab, SHORT, seeds=range(3))
    first = start(*GRID, "--wait", lab=lab)
    wait_until(lambda: list(batches_folder("tiny").glob("*/handles/*.json")), 300)
    first.kill()
    first.communicate()
    others = [start(*GRID, "--wait", lab=lab) for _ in range(2)]
    ends = [one.communicate(timeout=600) for one in others]

    assert [one.returncode for one in others] == [0, 0], ends
    found = [event for folder in batches_folder("tiny").glob("*") for _, event in
             Reader(folder).new()]  # fmt: skip
    assert Counter(event.key for event in found if event.what == "done") == {
        cell.key: 1 for cell in cells(read_params())
    }


def test_the_processes_of_a_cell_find_each_other_without_a_launcher(slurm, lab):
    write_grid(lab, SHORT | {"loss": "ce", "gpus": 2})
    used = engine(gpus=1)
    batch, (cell,) = frozen(used)
    assert run_batch(batch, used) == Counter(done=1)
    assert row(cell.key)["n_processes"] == 2


def test_cells_share_a_gpu_as_tasks_of_one_job(slurm, lab):
    write_grid(lab, SHORT)
    used = engine(gpus=1, per_gpu=2)
    batch, _ = frozen(used)
    assert run_batch(batch, used) == Counter(done=2)
    assert len(ids(batch)) == 1


def test_arrays_beyond_the_largest_one_are_submitted_and_cancelled_together(slurm, lab):
    write_grid(lab, SHORT | {"loss": "ce"}, seeds=range(LARGEST_ARRAY + 3))
    used = engine(max_parallel=1)
    batch, all_cells = frozen(used)
    bundles = [add_bundles(batch, [n], 1, used.lengths())[0] for n in range(len(all_cells))]
    with drained(slurm):
        handle = used.submit(batch, bundles)
        jobs = used.state(batch, handle, 0.0)
        assert Counter(job.id.split("_")[0] for job in jobs).most_common() == [
            (handle.jobs.split()[2], LARGEST_ARRAY), (handle.jobs.split()[3], 3),
        ]  # fmt: skip
        assert {job.phase for job in jobs} == {"waiting"}
        used.cancel(batch, handle)
        assert {job.phase for job in used.state(batch, handle, 1.0)} == {"ended"}


@pytest.mark.parametrize("gone", ["logs", "token"])
def test_a_node_that_does_not_see_the_folder_is_named_and_the_other_jobs_stop(slurm, lab, gone):
    write_grid(lab, SHORT, seeds=range(3))
    used = engine(max_parallel=1)
    batch, _ = frozen(used)
    with drained(slurm):
        submit_batch(batch, used)
        (batch.folder / gone).rename(lab / "elsewhere")
    (handle,) = handles(batch)
    with pytest.raises(LabError, match="node localhost does not see .*; expected: a folder that"):
        wait_until(lambda: not used.state(batch, handle, 1.0), 60)
    slurm.wait_for_jobs(lambda states: not states, 30)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"partition": "man"}, "partition man; expected: one of main, short, urgent; try: main"),
        ({"partition": "short"}, "time_minutes: 120 on partition short, where jobs end after 20"),
        ({"memory": "64G"}, "--mem=64G.*Requested node configuration is not available"),
        ({"gpus": 3}, "--gpus-per-node=3.*Requested node configuration is not available"),
        ({"cpus": 3}, "--cpus-per-task=3.*Requested node configuration is not available"),
    ],
)
def test_what_the_cluster_cannot_give_is_one_line_before_anything_is_planned(
    slurm, lab, settings, told
):
    with pytest.raises(LabError, match=told) as failure:
        engine(**settings).check()
    assert "\n" not in str(failure.value)
