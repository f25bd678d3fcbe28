"""Image and composition as files: lint, schema, pins, and the scripts that start the engine."""

import os
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest

from tests.support.compose import DOCKER, example, output, script, services, variables

PROJECT = DOCKER.parent
TOOLS = Path(sys.executable).parent


def test_the_linter_finds_nothing_in_the_dockerfile():
    assert output(TOOLS / "hadolint", DOCKER / "Dockerfile") == ""


def test_the_composition_follows_the_schema():
    schema = ("--builtin-schema", "vendor.compose-spec")
    output(TOOLS / "check-jsonschema", *schema, DOCKER / "compose.yaml")


def test_base_and_services_are_pinned_to_full_versions():
    base = re.search(r"^ARG BASE=(.+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)[1]
    images = [service["image"] for service in services({}).values() if "build" not in service]
    assert len(images) == 2
    for image in [base, *images]:
        assert re.fullmatch(r"[a-z/]+:\d+(\.\d+)+(-[a-z-]+)?", image), image


def test_image_and_checkout_resolve_the_same_packages_from_one_file():
    text = (DOCKER / "Dockerfile").read_text()
    [copied] = re.findall(r"^COPY (\S+) docker/split_packages.py /build/$", text, re.MULTILINE)
    assert copied == "pyproject.toml"
    assert re.search(r"uv sync --project /build .*--no-dev --extra server", text)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert date.fromisoformat(project["tool"]["uv"]["exclude-newer"][:10])
    assert "server" in project["project"]["optional-dependencies"]
    # A lock file holds download addresses, and would be a second truth.
    assert output("git", "ls-files", "*.lock", "*lock.toml", "*.lock.txt", cwd=PROJECT) == ""
    assert "!pyproject.toml" in (PROJECT / ".dockerignore").read_text().splitlines()


def test_services_are_healthy_in_order_on_loopback_with_named_volumes():
    found = services(example())
    volumes = re.findall(r"^  ([a-z0-9-]+):$", (DOCKER / "compose.yaml").read_text(), re.MULTILINE)
    for name, service in found.items():
        assert "healthcheck" in service or service["restart"] == "no", name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in volumes or volume.endswith(":ro"), volume
    waits = {name: dict(service.get("depends_on", {})) for name, service in found.items()}
    assert waits["mlflow"]["postgres"]["condition"] == "service_healthy"
    assert waits["mlflow"]["buckets"]["condition"] == "service_completed_successfully"
    assert waits["buckets"]["s3"]["condition"] == "service_healthy"
    assert waits["trainer"]["mlflow"] == {"condition": "service_healthy", "required": False}


def test_one_file_switches_from_the_embedded_tracker_to_the_server():
    embedded, server = services({})["trainer"], services(example())["trainer"]
    assert embedded["environment"]["MLFLOW_TRACKING_URI"] == ""
    assert server["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert example()["MLFLOW_TRACKING_URI"].startswith("http://127.0.0.1:5000")
    profiles = example()["COMPOSE_PROFILES"]
    started = [name for name, it in services({}).items() if profiles in it.get("profiles", [])]
    assert sorted(started) == ["buckets", "mlflow", "postgres", "s3"]


def test_the_example_explains_every_variable_and_holds_the_only_secrets():
    assert variables() <= set(example())
    text = (DOCKER / "compose.yaml").read_text()
    for name in ("POSTGRES_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert f"${{{name}:-}}" in text
        assert f"${{{name}:-x" not in text
    output("git", "check-ignore", "docker/.env", cwd=PROJECT)
    assert "docker/.env" in (PROJECT / ".dockerignore").read_text().splitlines()


def test_neither_folder_program_nor_shell_script_is_malformed():
    for name in ("build", "run", "health.sh"):
        output("sh", "-n", DOCKER / name)
    for name in ("build", "run"):
        assert os.access(DOCKER / name, os.X_OK)


# --- The two shell scripts, with an engine that only writes down what it is asked -----------------


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Start a script in an empty folder; returns the words that the engine was started with."""
    fake = tmp_path / "engine"
    fake.write_text('#!/bin/sh\n[ "$1" = image ] && echo sha256:feed || printf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("LNL_ENGINE", str(fake))
    folder = tmp_path / "here"
    folder.mkdir()
    return lambda name, *words: output(
        DOCKER / name, *words, cwd=folder, stdin=subprocess.DEVNULL
    ).splitlines(), folder


def test_run_names_the_image_and_mounts_the_folders_as_the_caller(engine, monkeypatch):
    call, folder = engine
    monkeypatch.setenv("LNL_ENGINE_FLAGS", "--gpus all")
    (folder / "params.yaml").touch()
    words = call("run", "accelerate", "launch", "methods/x.py", "--title", "two words")
    assert words[0] == "run"
    end = words.index("lnl-lab:cpu")
    assert words[end + 1 :] == ["accelerate", "launch", "methods/x.py", "--title", "two words"]
    flags = " ".join(words[:end]) + " "
    assert f"--user {os.getuid()}:{os.getgid()}" in flags
    assert "LNL_IMAGE_DIGEST=sha256:feed --gpus all" in flags
    mounted = re.findall(rf"-v {folder}/(\S+):/lab/([^\s:]+) ", flags)
    assert all(outside == inside for outside, inside in mounted)
    assert all((folder / name).is_dir() for name, _ in mounted)
    # The same folders as in the composition, and all that the image opens to any user.
    volumes = [volume.split(":")[1] for volume in services({})["trainer"]["volumes"]]
    assert {f"/lab/{name}" for name, _ in mounted} == set(volumes) - {"/lab/params.yaml"}
    assert {name for name, _ in mounted} == set(script("prepare_project").MOUNTED)
    assert set(script("entrypoint").FOLDERS) == set(script("prepare_project").MOUNTED)
    assert f"-v {folder}/params.yaml:/lab/params.yaml:ro" in flags


def test_build_puts_version_and_commit_into_the_image(engine):
    call, _ = engine
    words = call("build", "cuda", "--no-cache")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    commit = output("git", "rev-parse", "HEAD", cwd=PROJECT).strip()
    assert f"VERSION={project['version']}" in words
    given = next(word for word in words if word.startswith("GIT_COMMIT="))
    assert given.removesuffix("-dirty") == f"GIT_COMMIT={commit}"
    assert words[words.index("--target") + 1] == "cuda"
    assert "lnl-lab:cuda" in words
    assert words[-2:] == ["--no-cache", "."]
