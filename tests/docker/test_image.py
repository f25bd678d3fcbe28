"""The small programs of the image: its first process and the steps of its build."""

import mmap
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.results import provenance
from tests.support.compose import DOCKER, output, script

# --- The first process of a container -------------------------------------------------------------


def start(*words, **variables):
    return subprocess.Popen(
        [sys.executable, "-I", "-S", DOCKER / "entrypoint.py", *words],
        env=os.environ | variables, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-program"], 127),
    ],
)
def test_the_exit_code_is_the_command_s(words, code):
    first = start(*words)
    first.communicate(timeout=30)
    assert first.returncode == code


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_container_waits_until_training_has_saved_its_state(tmp_path, number, code):
    # A launcher that dies at the signal, as Accelerate's does, and a program that needs a second.
    saved, ready = tmp_path / "saved", tmp_path / "ready"
    training = (
        "import pathlib, signal, sys, time\n"
        "def stop(number, frame):\n"
        f"    time.sleep(1); pathlib.Path({str(saved)!r}).touch(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)\n"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)\n"
    )
    launcher = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        f"subprocess.Popen([sys.executable, '-c', {training!r}]).wait()\n"
    )
    first = start(sys.executable, "-c", launcher)
    while not ready.exists():
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(number)
    first.communicate(timeout=30)
    assert first.returncode == code
    assert saved.exists()


def test_runs_carry_the_given_digest_or_else_that_of_the_content(tmp_path, monkeypatch):
    entrypoint = script("entrypoint")
    monkeypatch.setenv("LNL_IMAGE_DIGEST", "")
    stamp = tmp_path / ".build-id"
    entrypoint.name_image(stamp)
    assert provenance.provenance()["image_digest"] is None
    stamp.write_text("build:1234")
    entrypoint.name_image(stamp)
    assert provenance.provenance()["image_digest"] == "build:1234"
    monkeypatch.setenv("LNL_IMAGE_DIGEST", "sha256:abcd")
    entrypoint.name_image(stamp)
    assert provenance.provenance()["image_digest"] == "sha256:abcd"


def test_a_folder_that_takes_no_writes_is_named(tmp_path, monkeypatch, capsys):
    entrypoint = script("entrypoint")
    for name in entrypoint.FOLDERS:
        (tmp_path / name).mkdir(parents=True)
    refused = tmp_path / "results"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != refused)
    entrypoint.prepare_folders(tmp_path)
    assert capsys.readouterr().err.splitlines() == [
        f"note: user {os.getuid()} cannot write to {refused}"
    ]
    assert (tmp_path / "tracker" / "mlartifacts").is_dir()


# --- Steps of the build ---------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    """A project of three files, readable by its owner only."""
    for name in ("pipeline/a.py", "docker/run", ".dvc/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "pipeline").chmod(0o700)
    return tmp_path


def test_any_user_can_run_the_prepared_project_and_write_its_results(copy):
    script("prepare_project").prepare(copy, "abc-dirty")
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in copy.rglob("*")}
    assert modes[copy / "pipeline" / "a.py"] == 0o644
    assert modes[copy / "pipeline"] == 0o755
    for name in ("data", "labels", "encoders", "cache", "results", "tracker", ".dvc", ".dvc/cache"):
        assert modes[copy / name] == 0o777
    # DVC writes its lock there; an empty one would be refused.
    assert stat.S_IMODE(copy.stat().st_mode) == 0o777
    assert not (copy / "dvc.lock").exists()
    (copy / "mlflow.db").write_text("database")
    assert (copy / "tracker" / "mlflow.db").read_text() == "database"


def test_the_name_of_the_content_changes_with_it_and_with_nothing_else(copy):
    digest = script("prepare_project").content_digest
    before = digest(copy)
    os.utime(copy / "pipeline" / "a.py", (1, 1))
    assert digest(copy) == before
    (copy / "docker" / "run").write_text("x = 2\n")
    changed = digest(copy)
    (copy / "pipeline" / "a.py").rename(copy / "pipeline" / "b.py")
    assert len({before, changed, digest(copy)}) == 3


@pytest.mark.parametrize(
    ("stamp", "known"),
    [("abc", ("abc", False)), ("abc-dirty", ("abc", True)), ("", (None, None))],
)
def test_runs_of_the_image_carry_the_commit_it_was_built_from(copy, monkeypatch, stamp, known):
    script("prepare_project").prepare(copy, stamp)
    monkeypatch.setattr(provenance.pipeline, "__file__", str(copy / "pipeline" / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(copy.parent))
    row = provenance.provenance()
    assert (row["git_commit"], row["git_dirty"]) == known


def test_large_packages_move_to_a_layer_of_their_own_and_are_found_there(tmp_path):
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    for name in ("torch", "nvidia", "triton", "small"):
        (packages / name).mkdir(parents=True)
    script("split_packages").split(tmp_path / "venv", tmp_path / "large")
    assert sorted(path.name for path in (tmp_path / "large").iterdir()) == [
        "nvidia", "torch", "triton",
    ]  # fmt: skip
    assert sorted(path.name for path in packages.iterdir()) == ["large_packages.pth", "small"]
    code = f"import site; site.addsitedir({str(packages)!r}); import torch; print(*torch.__path__)"
    found = output(sys.executable, "-I", "-S", "-c", code)
    assert found.strip() == str(tmp_path / "large" / "torch")


def test_what_is_dropped_for_the_cpu_is_what_no_process_loaded(tmp_path):
    for name in ("nvidia/used.so", "nvidia/kernels.so", "triton/compiler.so"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 100)
    with (tmp_path / "nvidia/used.so").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert script("drop_gpu_only").drop(tmp_path) == 200
        mapped.close()
    assert [path.name for path in tmp_path.rglob("*.so")] == ["used.so"]
