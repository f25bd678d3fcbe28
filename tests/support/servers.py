"""The services of docker/compose.yaml as programs on loopback: PostgreSQL, S3, MLflow.

PostgreSQL comes from the system, the S3 server from the package moto, MLflow is the project's own.
Commands and variables are those of compose.yaml; only hosts, ports and folders are others.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.compose import DOCKER, example, output, services

SETTINGS = example() | {"POSTGRES_PASSWORD": "secret1", "AWS_SECRET_ACCESS_KEY": "secret2"}


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready, seconds: float = 240) -> None:
    """Wait for `ready()` to be true."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "not ready in time"
        time.sleep(0.1)


def answers(address: str) -> bool:
    """Whether a web server gives any answer there."""
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@dataclass
class Program:
    """A server in a process group of its own, with its output in a file."""

    command: list[str]
    environment: dict[str, str]
    address: str
    log: Path
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait for its first answer."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=os.environ | self.environment, cwd=self.log.parent,
                stdout=log, stderr=log, process_group=0,
            )  # fmt: skip
        wait_until(lambda: self._alive() and answers(self.address))

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the whole group and wait until it is gone."""
        os.killpg(self.process.pid, number)
        self.process.wait(30)

    def _alive(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return True


def programs_of_postgres() -> Path:
    """Folder of initdb and pg_ctl: on the path, or where Debian puts it."""
    found = shutil.which("pg_ctl")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    assert places, "PostgreSQL is not installed: apt-get install postgresql"
    return places[0]


@dataclass
class Postgres:
    """A PostgreSQL server with password log-in, as the image sets it up."""

    # Not below pytest's own folder: that one lets no other user in.
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="lnl-postgres-")))
    port: int = field(default_factory=free_port)

    def create(self) -> None:
        """Make the cluster, its user and its database, and start it."""
        service = services(SETTINGS)["postgres"]["environment"]
        # PostgreSQL refuses to run as root; the tests of a container may be root.
        self.owner = "postgres" if os.getuid() == 0 else None
        password = self.folder / "password"
        password.write_text(service["POSTGRES_PASSWORD"])
        if self.owner:
            for path in (self.folder, password):
                shutil.chown(path, self.owner)
        self._run(
            "initdb", "-D", "cluster", "-U", service["POSTGRES_USER"], "--pwfile", "password",
            "--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8",
        )  # fmt: skip
        self.control("start")
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", service["POSTGRES_USER"]]
        self._run("createdb", *address, service["POSTGRES_DB"])

    def control(self, word: str, *flags: str) -> None:
        """Start, stop or restart the server."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._run("pg_ctl", "-D", "cluster", "-w", "-l", "log", "-o", options, *flags, word)

    def _run(self, name: str, *words: str) -> str:
        environment = os.environ | {"PGPASSWORD": SETTINGS["POSTGRES_PASSWORD"]}
        return output(
            programs_of_postgres() / name, *words,
            cwd=self.folder, env=environment, user=self.owner, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@dataclass
class Servers:
    """All of them, started in the order that compose.yaml gives."""

    folder: Path

    def __post_init__(self) -> None:
        """Choose addresses, and take commands and variables from compose.yaml."""
        self.postgres = Postgres()
        s3, web = free_port(), free_port()
        self.s3_address, self.address = f"http://127.0.0.1:{s3}", f"http://127.0.0.1:{web}"
        named = services(SETTINGS)
        self.s3_client = self._on_loopback(named["buckets"]["environment"])
        self.s3 = Program(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(s3)],
            {}, self.s3_address, self.folder / "s3.log",
        )  # fmt: skip
        places = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={web}"}
        command = [places.get(word, word) for word in named["mlflow"]["command"]]
        command = [word.replace("127.0.0.1:5000", f"127.0.0.1:{web}") for word in command]
        self.mlflow = Program(
            [sys.executable, "-m", *command],
            self._on_loopback(named["mlflow"]["environment"]),
            f"{self.address}/health", self.folder / "mlflow.log",
        )  # fmt: skip

    def _on_loopback(self, variables: dict[str, str]) -> dict[str, str]:
        places = {
            "http://s3:8333": self.s3_address,
            "@postgres:5432": f"@127.0.0.1:{self.postgres.port}",
        }
        for name, place in places.items():
            variables = {key: value.replace(name, place) for key, value in variables.items()}
        return variables

    def start(self) -> None:
        """Start the services; the bucket maker is the one of the composition."""
        self.postgres.create()
        self.s3.start()
        words = services(SETTINGS)["buckets"]["command"]
        environment = os.environ | self.s3_client
        output(sys.executable, *words[1:], cwd=DOCKER.parent, env=environment)
        self.mlflow.start()

    def stop(self) -> None:
        """Stop whatever runs."""
        for program in (self.mlflow, self.s3):
            if program.process is not None and program.process.poll() is None:
                program.stop(signal.SIGKILL)
        if (self.postgres.folder / "cluster" / "postmaster.pid").exists():
            self.postgres.control("stop", "-m", "immediate")
        shutil.rmtree(self.postgres.folder)
