"""Slurm's own commands, each within a time limit; what they print, as facts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.errors import LabError, suggest

SECONDS = 30
"""Longest wait for an answer of the controller. Slurm's commands alone would wait for minutes."""
_COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
_FIELDS = ("ArrayJobID", "ArrayTaskID", "State", "exit_code", "Reason", "NodeList")
_NO_NODE = "node configuration is not available"
_AWAY = ("down", "drain", "fail", "maint")
_LIMIT = re.compile(r"(?:(?P<days>\d+)-)?(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)")


class Told(NamedTuple):
    """What squeue tells of one job.

    Args:
        id: as Slurm's commands take it: 12, or 12_3 in an array.
        state: in Slurm's words, such as PENDING.
        status: its wait status once it has ended.
        reason: why it is in this state, in Slurm's words.
        host: where it runs or ran; empty where it has not started.
    """

    id: str
    state: str
    status: int
    reason: str
    host: str


def check_installed() -> None:
    """Refuse a host that has no Slurm.

    Raises:
        LabError: naming the commands that are missing.
    """
    if missing := [name for name in _COMMANDS if shutil.which(name) is None]:
        raise LabError(
            f"no Slurm on this host: {', '.join(missing)} not found",
            "a log-in node of the cluster, or Slurm's commands on the path",
            "--engine local",
        )


def check_partition(name: str | None, minutes: int) -> None:
    """Refuse a partition that does not exist, or whose limit is below a job's time.

    Args:
        name: of the partition; None for the cluster's default.
        minutes: time limit of a job.

    Raises:
        LabError: naming those that exist, or the limit.
    """
    limits = dict(line.split("|") for line in _answer("sinfo", "--noheader", "--format=%P|%l"))
    default = next((one for one in limits if one.endswith("*")), None)
    limits = {one.removesuffix("*"): limit for one, limit in limits.items()}
    chosen = name or (default or "").removesuffix("*")
    if chosen not in limits:
        given = f"partition {name}" if name else "no partition, on a cluster without a default one"
        raise LabError(given, *suggest(name, limits, "partition: in the entry of the engine"))
    longest = _minutes(limits[chosen])
    if longest is not None and minutes > longest:
        raise LabError(
            f"time_minutes: {minutes} on partition {chosen}, where jobs end after {longest}",
            f"at most {longest}",
            f"time_minutes: {longest}; a longer run is queued again and goes on",
        )


def _minutes(limit: str) -> int | None:
    """A time limit as sinfo writes it, in minutes; None for one that never ends."""
    found = _LIMIT.fullmatch(limit)
    if found is None:
        return None
    days, hours, minutes = (int(found[name] or 0) for name in ("days", "hours", "minutes"))
    return (days * 24 + hours) * 60 + minutes


def check_granted(engine: str, partition: str | None, flags: Sequence[str]) -> None:
    """Refuse jobs that the cluster would refuse, or could never start.

    Args:
        engine: name of the engine.
        partition: of the jobs; None for the cluster's default.
        flags: of sbatch.

    Raises:
        LabError: with Slurm's own words.
    """
    done = _run("sbatch", "--test-only", *flags, "--wrap=true")
    # The test looks at nodes that are up; jobs may wait for the others, which sbatch itself knows.
    may_come = _NO_NODE in done.stderr and _some_are_away(partition)
    if done.returncode and not may_come:
        raise refusal(engine, flags, done.stderr)


def _some_are_away(partition: str | None) -> bool:
    chosen = [f"--partition={partition}"] if partition else []
    asked = ("--noheader", f"--states={','.join(_AWAY)}", "--format=%N")
    return any(line.strip() for line in _answer("sinfo", *chosen, *asked))


def refusal(engine: str, flags: Sequence[str], words: str) -> LabError:
    """The error about jobs that Slurm refuses.

    Args:
        engine: name of the engine.
        flags: of sbatch.
        words: Slurm's own.
    """
    asked = " ".join(flag for flag in flags if not flag.startswith(("--signal", "--requeue")))
    return LabError(
        f"Slurm refuses jobs with {asked}: {_last_words(words)}",
        "a partition, an account and resources of one node that the cluster grants",
        f"sinfo --Node --long, sacctmgr show associations, and the entry {engine} of engines in "
        "params.yaml",
    )


def largest_array() -> int:
    """Jobs that one array may have on this cluster."""
    for line in _answer("scontrol", "show", "config"):
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdecimal():
            return max(int(value), 1)
    return 1001  # Slurm's own default


def told(ids: Iterable[str]) -> list[Told]:
    """What squeue tells of jobs; of those that ended minutes ago it knows nothing any more.

    Args:
        ids: of jobs and arrays.
    """
    form = ",".join(f"{name}:|" for name in _FIELDS)
    done = _run(
        "squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(ids)}",
        f"--Format={form}",
    )  # fmt: skip
    # A single one that it does not know any more is an error to squeue.
    if done.returncode and "Invalid job id" not in done.stderr:
        raise _failed("squeue", done.stderr)
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return [
        Told(array if task == "N/A" else f"{array}_{task}", state, _status(status), reason, host)
        for array, task, state, status, reason, host, *_ in rows
    ]


def _status(text: str) -> int:
    """A wait status, from one number or from `exit status:signal`."""
    code, colon, number = text.partition(":")
    return (int(code) << 8 | int(number)) if colon else int(code)


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs and arrays, if there are any; those that have ended are no error."""
    if words := list(ids):
        _answer("scancel", *words)


def _answer(*words: str) -> list[str]:
    done = _run(*words)
    if done.returncode:
        raise _failed(words[0], done.stderr)
    return done.stdout.splitlines()


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, capture_output=True, text=True, timeout=SECONDS, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as failure:
        raise _failed(words[0], f"no answer within {SECONDS} s") from failure


def _environment() -> Mapping[str, str]:
    """Without the user's own wishes about how tables look."""
    return {name: text for name, text in os.environ.items() if not name.startswith("SQUEUE_")}


def _failed(command: str, words: str) -> LabError:
    return LabError(
        f"{command}: {_last_words(words)}",
        "a Slurm controller that answers",
        "scontrol ping; jobs that were submitted go on, and the same command finds them",
        exit_code=1,
    )


def _last_words(words: str) -> str:
    """What matters of a message of several lines: its last one, without the command's name."""
    lines = [line for line in words.splitlines() if line.strip()] or ["it gave no reason"]
    return re.sub(r"^\w+: (error: )?", "", lines[-1])
