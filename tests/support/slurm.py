"""A Slurm of one node on loopback, from the system's packages: two CPUs and two GPUs.

It knows nothing of a Slurm that this machine may belong to: configuration, ports, key and folders
are its own. The GPUs are device files that always exist; nothing computes on them.

`python -m tests.support.slurm COMMAND ...` runs a command with such a Slurm at hand, for example
benchmarks/engines.py.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.compose import output
from tests.support.paths import PROJECT
from tests.support.servers import free_port, wait_until

NODE = "localhost"
LARGEST_ARRAY = 20
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")

_SETTINGS = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
# A requeued job waits as long as a credential lives; the default is two minutes.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize={largest_array}
ReturnToService=2
KillWait=5
SlurmdTimeout=10
# What the node really has is not compared with what it is said to have.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 Gres=gpu:2 RealMemory=2000
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=short Nodes={node} MaxTime=20 PriorityTier=1
PartitionName=urgent Nodes={node} MaxTime=INFINITE PriorityTier=2
"""


@dataclass
class Slurm:
    """A private cluster: `start()`, `stop()`; it also stops when this program is killed."""

    # Short, because the path of a socket may have 107 characters.
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="lnl-slurm-")))
    keeper: subprocess.Popen | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands speak to this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start the three daemons and wait for a node that takes jobs."""
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        assert not missing, (
            f"{', '.join(missing)} not installed: apt-get install slurmctld slurmd munge"
        )
        assert os.getuid() == 0, "a private Slurm needs root"
        self._write_settings()
        self.keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.keeper", self.folder], cwd=PROJECT,
            stdin=subprocess.PIPE, start_new_session=True,  # signals to the tests are not for it
            stdout=(self.folder / "programs.log").open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        file = {name: shlex.quote(str(self.folder / name)) for name in ("munge", "slurm.conf")}
        self._keep(
            f"munged --foreground --force --key-file={file['munge']}.key"
            f" --socket={file['munge']}.socket --pid-file={file['munge']}.pid"
            f" --seed-file={file['munge']}.seed --log-file={file['munge']}.log --num-threads=2"
        )
        wait_until((self.folder / "munge.socket").exists, 30)
        self._keep(f"slurmctld -D -i -f {file['slurm.conf']}")
        self.start_node()

    def start_node(self) -> None:
        """Start the node, as after a crash, and wait until it takes jobs."""
        self._keep(f"slurmd -D -N {NODE} -f {shlex.quote(str(self.folder / 'slurm.conf'))}")
        self.wait_for_node("idle", "mixed", "allocated")

    def crash_node(self) -> None:
        """End the node and all that runs on it, as a power cut does."""
        daemons = {p.name(): p for p in psutil.Process(self.keeper.pid).children()}
        on_node = [p for name, p in daemons.items() if name.startswith("slurmd")]
        on_node += self.jobs()
        for process in on_node:
            process.kill()

    def jobs(self) -> list[psutil.Process]:
        """Processes of all jobs that run, their guardians by Slurm included."""
        everything = psutil.Process(self.keeper.pid).children(recursive=True)
        daemons = ("munged", "slurmctld", "slurmd", "slurmscriptd")
        return [p for p in everything if p.name() not in daemons]

    def stop(self) -> None:
        """End everything at once; nothing stays."""
        if self.keeper is None:
            shutil.rmtree(self.folder)
        else:
            self.keeper.stdin.close()
            self.keeper.wait(30)

    def command(self, *words: str) -> str:
        """What one of Slurm's commands prints about this cluster."""
        return output(*words, env=os.environ | self.environment, timeout=60)

    def wait_for_node(self, *states: str, seconds: float = 60) -> None:
        """Wait until the node is in one of the states."""
        wait_until(lambda: self._node_state() in states, seconds)

    def wait_for_jobs(self, ready: Callable[[list[str]], bool], seconds: float = 120) -> None:
        """Wait until the states of the jobs that are not over are as asked."""
        wait_until(lambda: ready(self.states()), seconds)

    def states(self) -> list[str]:
        """States of all jobs that wait or run."""
        return self.command("squeue", "--noheader", "--array", "--format=%T").split()

    def _node_state(self) -> str:
        self._alive()
        asked = ["sinfo", "--noheader", "--partition=main", "--format=%T"]
        environment = os.environ | self.environment
        found = subprocess.run(
            asked, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return found.stdout.strip()

    def _alive(self) -> None:
        assert self.keeper is not None
        assert self.keeper.poll() is None, (self.folder / "programs.log").read_text()

    def _keep(self, command: str) -> None:
        self.keeper.stdin.write(command.encode() + b"\n")
        self.keeper.stdin.flush()

    def _write_settings(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        settings = _SETTINGS.format(
            folder=self.folder, host=socket.gethostname().split(".")[0], node=NODE,
            controller_port=free_port(), node_port=free_port(), largest_array=LARGEST_ARRAY,
        )  # fmt: skip
        (self.folder / "slurm.conf").write_text(settings)
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/zero\nName=gpu File=/dev/full\n")


def main() -> int:
    """Run a command beside a private Slurm; returns its exit status."""
    cluster = Slurm()
    try:
        cluster.start()
        return subprocess.call(sys.argv[1:], env=os.environ | cluster.environment)
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
