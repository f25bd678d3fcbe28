"""The engine `slurm`: job arrays of a Slurm cluster, submitted through submitit.

Jobs go on when the program that submitted them ends. A job that is preempted, or reaches its time
limit, is told so by SIGUSR2 some time before: it saves its state and is queued again, and then
skips what is stored and continues its cell.
"""

from __future__ import annotations

import math
import os
import shlex
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from pipeline.config import SlurmEngine
from pipeline.errors import LabError
from pipeline.grids.batch import Batch
from pipeline.grids.bundles import Bundle, Lengths
from pipeline.grids.engines import slurm_commands as commands
from pipeline.grids.engines.engine import Handle, Job, Phase
from pipeline.grids.engines.slurm_job import QUEUE_AGAIN, SlurmJob

_SLOTS = 64
"""Bundles at the same time that are reckoned with where nobody sets a limit."""
_SHORTEST = 600.0
"""Seconds of a bundle that are worth a job's start and its place in the queue."""
_NOTICE = 120
"""Seconds between SIGUSR2 and the end of a job, in which it saves its state."""
_PATIENCE = 600.0
"""Seconds in which a controller that has answered before may be away, as in an upgrade."""
_NOT_SEEN = 74
"""Exit status of a job whose node does not see the folder of the batch."""
_WAITING = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD",
     "SPECIAL_EXIT", "SUSPENDED"}
)  # fmt: skip
_RUNNING = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING"})
_WISHES = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2})
_AFTERWARDS = (
    "status=$?",
    # By number and index: the last job of an array has the number of the whole array.
    "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
    f'if [ $status = {QUEUE_AGAIN} ]; then scontrol requeue "${{job:-$SLURM_JOB_ID}}"; fi',
    "exit $status",
)


class Slurm:
    """Job arrays of a cluster.

    Args:
        name: of the engine.
        settings: of its entry.
    """

    tracks = is_here = False
    stays = True

    def __init__(self, name: str, settings: SlurmEngine) -> None:
        self.name, self._settings = name, settings
        self.pause = settings.poll_seconds
        self._answered = -math.inf

    def check(self) -> None:
        """Refuse a host without Slurm, and jobs that the cluster would never start."""
        commands.check_installed()
        commands.check_partition(self._settings.partition, self._settings.time_minutes)
        self._check_granted(self._settings.gpus)

    def gpus(self, asked: int | None) -> int:
        """GPUs of a cell: 0 on a partition without any."""
        return (asked or self._settings.gpus) if self._settings.gpus else 0

    def slots(self) -> int:
        """Bundles at the same time."""
        return (self._settings.max_parallel or _SLOTS) * self._settings.per_gpu

    def lengths(self) -> Lengths:
        """Bundles that are worth a place in the queue."""
        longest = 60 * self._settings.bundle_minutes
        return Lengths(shortest=min(_SHORTEST, longest), longest=longest, per_slot=4)

    def submit(self, batch: Batch, bundles: Sequence[Bundle]) -> Handle:
        """Submit arrays of jobs, one or more for each number of GPUs.

        Nothing is submitted before the cluster has said that it would grant the resources.
        """
        ordered = sorted(bundles, key=lambda bundle: bundle.gpus)
        groups = [(gpus, list(group)) for gpus, group in groupby(ordered, lambda one: one.gpus)]
        for gpus, _ in groups:
            self._check_granted(gpus)
        largest = commands.largest_array()
        submitted: list[tuple[str, tuple[int, ...]]] = []
        try:
            for gpus, group in groups:
                shares = list(_parts(group, self._share(gpus)))
                for part in _parts(shares, largest):
                    submitted += self._submit_array(batch, gpus, part, submitted)
        except BaseException:
            commands.cancel(_arrays(job for job, _ in submitted))
            raise
        names = f"Slurm jobs {' '.join(_arrays(job for job, _ in submitted))}"
        numbers = tuple(bundle.number for bundle in bundles)
        return Handle(self.name, numbers, names, {"jobs": submitted})

    def state(self, batch: Batch, handle: Handle, patience: float) -> list[Job]:
        """The jobs by one question to squeue; one it no longer knows has ended."""
        time.sleep(patience)
        jobs = _jobs(handle)
        try:
            found = {one.id: one for one in commands.told(_arrays(jobs))}
        except LabError as failure:
            if time.monotonic() - self._answered > _PATIENCE:
                raise
            words = failure.given
            return [Job(job, bundles, "waiting", words) for job, bundles in jobs.items()]
        self._answered = time.monotonic()
        if blind := next((one for one in found.values() if _saw_nothing(one)), None):
            self.cancel(batch, handle)
            raise LabError(
                f"node {blind.host} does not see {batch.folder}, or may not write there",
                "a folder that all nodes share",
                "a project folder (LNL_ROOT) on the shared file system",
                exit_code=1,
            )
        return [_job(job, bundles, found.get(job)) for job, bundles in jobs.items()]

    def cancel(self, batch: Batch, handle: Handle) -> None:
        """Cancel all jobs of a handle; what runs is saved."""
        commands.cancel(_arrays(_jobs(handle)))

    def _share(self, gpus: int) -> int:
        """Bundles of one job: those that share a GPU."""
        return self._settings.per_gpu if gpus == 1 else 1

    def _parameters(self, gpus: int) -> dict[str, Any]:
        """What a job asks for, by the names that sbatch has."""
        settings = self._settings
        tasks = max(gpus, self._share(gpus))
        asked: dict[str, Any] = {
            "time": settings.time_minutes,
            "ntasks_per_node": tasks,
            "cpus_per_task": settings.cpus,
            "mem": f"{tasks * int(settings.memory[:-1])}{settings.memory[-1]}",
        }
        chosen = {
            "gpus_per_node": gpus or None,
            "partition": settings.partition,
            "account": settings.account,
            "qos": settings.qos,
        }
        return asked | {name: value for name, value in chosen.items() if value is not None}

    def _check_granted(self, gpus: int) -> None:
        flags = _flags(self._parameters(gpus))
        commands.check_granted(self.name, self._settings.partition, flags)

    def _submit_array(
        self,
        batch: Batch,
        gpus: int,
        shares: Sequence[Sequence[Bundle]],
        before: Sequence[tuple[str, tuple[int, ...]]],
    ) -> list[tuple[str, tuple[int, ...]]]:
        """Submit a job for each share of bundles; returns ids and bundles of the jobs."""
        parameters = self._parameters(gpus)
        after: dict[str, Any] = {"requeue": True}
        if self._settings.max_parallel and before:
            # The limit of an array counts its own jobs only.
            after["dependency"] = f"afterany:{_arrays([before[-1][0]])[0]}"
        executor = submitit.SlurmExecutor(batch.folder / "logs", python=self._settings.python)
        executor.update_parameters(
            **parameters,
            job_name=f"lnl-{batch.grid}",
            wckey=None,
            array_parallelism=self._settings.max_parallel or len(shares),
            signal_delay_s=_NOTICE,
            setup=self._setup(batch),
            # srun does not take this over from the job's own resources.
            srun_args=_srun_flags(self._settings.cpus, together=gpus > 1),
            teardown=list(_AFTERWARDS),
            additional_parameters=after,
        )
        numbers = [tuple(bundle.number for bundle in share) for share in shares]
        programs = [SlurmJob(batch.folder, batch.token, share, gpus > 1) for share in numbers]
        try:
            with _outside_of_jobs():
                jobs = executor.map_array(SlurmJob.__call__, programs)
        except (FailedJobError, FailedSubmissionError) as failure:
            raise commands.refusal(self.name, _flags(parameters), str(failure)) from failure
        return [(job.job_id, share) for job, share in zip(jobs, numbers, strict=True)]

    def _setup(self, batch: Batch) -> list[str]:
        """Shell lines before the program, which the node may not even find."""
        token = shlex.quote(str(batch.folder / "token"))
        return [
            f'if [ "$(cat {token})" != {batch.token} ]; then exit {_NOT_SEEN}; fi',
            f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{self._settings.cpus}}}",
            *self._settings.setup,
        ]


def _srun_flags(cpus: int, together: bool) -> list[str]:
    flags = [f"--cpus-per-task={cpus}"]
    # Where one process is killed, the others would wait for it until the time limit.
    return [*flags, "--kill-on-bad-exit=1"] if together else flags


def _flags(parameters: dict[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in parameters.items()]


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """While entered, jobs do not inherit what the job says that this program may be part of."""
    settings = os.environ.get("SLURM_CONF")
    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    with submitit.helpers.clean_env():
        if settings is not None:
            os.environ["SLURM_CONF"] = settings
        yield


def _parts(items: Sequence[Any], largest: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + largest] for start in range(0, len(items), largest))


def _arrays(jobs: Iterable[str]) -> list[str]:
    """Ids of the arrays that jobs belong to, or their own, each once and in order."""
    return list(dict.fromkeys(job.partition("_")[0] for job in jobs))


def _jobs(handle: Handle) -> dict[str, tuple[int, ...]]:
    return {job: tuple(bundles) for job, bundles in handle.facts["jobs"]}


def _saw_nothing(found: commands.Told) -> bool:
    """Whether a job ended because its node has another folder of that name, or none."""
    without_logs = found.reason == "JobLaunchFailure"
    return found.state == "FAILED" and (without_logs or found.status >> 8 == _NOT_SEEN)


def _job(job: str, bundles: tuple[int, ...], found: commands.Told | None) -> Job:
    if found is None:
        return Job(job, bundles, "ended")
    phase = _phase(found.state)
    if phase != "ended":
        reason = found.reason if phase == "waiting" else ""
        return Job(job, bundles, phase, reason, found.host)
    reason, blames_cell = _ending(found)
    cancelled = found.state == "CANCELLED"
    return Job(job, bundles, phase, reason, found.host, blames_cell, cancelled)


def _phase(state: str) -> Phase:
    if state in _WAITING:
        return "waiting"
    return "running" if state in _RUNNING else "ended"


def _ending(found: commands.Told) -> tuple[str, bool]:
    """Why a job ended, empty where all went well, and whether its cell may be the cause."""
    if found.state == "COMPLETED":
        return "", False
    where = f" on {found.host}" if found.host else ""
    if found.state == "OUT_OF_MEMORY":
        return f"killed{where}: out of memory", True
    if found.state != "FAILED":
        return f"{found.state.lower().replace('_', ' ')}{where}", False
    number = found.status & 0x7F or (found.status >> 8) - 128
    name = next((one.name for one in signal.Signals if one == number), None)
    if name is None:
        return f"exit status {found.status >> 8}{where}", False
    hint = " (was memory short?)" if name == "SIGKILL" else ""
    return f"ended by {name}{where}{hint}", number not in _WISHES
