"""Every command that the project prints is one that its program takes."""

from __future__ import annotations

import ast
import functools
import inspect
import runpy
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import tyro
import yaml
from accelerate.commands.launch import launch_command_parser
from dvc.cli import parse_args as parse_dvc

from lnl import command
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.methods import load_method
from tests.support.paths import PROJECT
from tests.support.printed import PAGES, PRINTING, TUTORIALS, commands_of, params_of
from tests.support.programs import run_here

SCRIPTS = sorted(
    path for folder in ("methods", "benchmarks") for path in (PROJECT / folder).glob("[!_]*.py")
)
COMMANDS = [
    pytest.param(path, words, id=f"{path.relative_to(PROJECT)}-{number}")
    for path in PRINTING
    for number, words in enumerate(commands_of(path))
]
_UV_OPTIONS = {"--env-file", "--extra", "--group"}
_READERS = {
    "read_flags", "run_function", "run_script", "run_subcommand",
    "cli", "subcommand_cli_from_dict",
}  # fmt: skip
_HELP = {"-h", "--help"}
_ROOMS = tuple(PROJECT / room for room in ("analysis", "benchmarks", "methods", "pipeline"))
_FOLDERS = ("analysis/", "benchmarks/", "docs/", "experiments/", "methods/", "pipeline/", "tests/")


class Read(BaseException):
    """A program has read its command line, and is to do no more."""


@pytest.mark.parametrize(("path", "words"), COMMANDS)
def test_a_printed_command_is_taken(
    path: Path, words: list[str], lab: Path, monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:  # fmt: skip
    for word in words:
        if word.startswith(_FOLDERS) and Path(word).stem != "NAME":
            assert (PROJECT / word).exists(), word
    program, *rest = _in_its_environment(words)
    match program:
        case "python" if rest[:2] == ["-m", "lnl"]:
            _read_by_lnl(path, rest[2:], monkeypatch)
        case "python" if rest:
            _read_by_program(rest, monkeypatch)
        case "lnl":
            _read_by_lnl(path, rest, monkeypatch)
        case "accelerate":
            assert rest[:1] == ["launch"]
            if len(rest) > 1:
                _read_by_method(path, rest[1:])
        case "dvc" if rest:
            parse_dvc(rest)
        case "mlflow":
            _read_by_mlflow(rest)
        case "pytest":
            marked = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
            assert "-m" not in rest or rest[rest.index("-m") + 1] in marked
        case "mkdocs":
            assert rest[0] in {"build", "serve"}
        case _:
            assert (program, rest) in [("", []), ("python", [])], words


def test_pages_and_programs_print_commands() -> None:
    printing = {param.values[0] for param in COMMANDS}
    assert set(PAGES) - set(TUTORIALS) <= printing
    assert len(COMMANDS) > 100


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_method_and_benchmark_prints_a_command_of_its_own(path: Path) -> None:
    printed = [word for words in commands_of(path) for word in words]
    assert str(path.relative_to(PROJECT)) in printed


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "tests.support.slurm", "sleep", "600"],  # starts a cluster
        [
            "-m",
            "pipeline.grids.engines.ranks",
            "sleep",
            "600",
        ],  # starts the command that it is given
        ["-m", "http.server"],
        ["-m", "pipeline.no_such"],
        ["-c", "import this"],
        ["docker/entrypoint.py", "true"],
        ["benchmarks/no_such.py"],
    ],
    ids=" ".join,
)
def test_only_a_program_that_stops_after_its_flags_is_started(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in ("run_module", "run_path"):
        monkeypatch.delattr(runpy, start)
    with pytest.raises(AssertionError, match="no program that reads flags"):
        _read_by_program(words, monkeypatch)


def _in_its_environment(words: list[str]) -> list[str]:
    """A command without what starts it in a clone or in the image; [""] if nothing is left."""
    while "=" in words[0]:
        words = words[1:]
    if words[0] == "uv":
        assert words[1:2] in ([], ["run"]) or words == ["uv", "build", "--wheel"], words
        if words[1:2] == ["build"]:
            return [""]
        words = words[2:]
        while words and words[0] in _UV_OPTIONS:
            words = words[2:]
        return words or [""]
    if _needs_no_checkout(words):
        return words
    assert words[0].startswith(("docker", "apptainer")), f"start it by uv run: {words}"
    return _in_image(words) or [""]


def _needs_no_checkout(words: list[str]) -> bool:
    """Whether an installed wheel is enough: the command `lnl`, or a module that the wheel holds."""
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    by_module = words[0] in {"python", "accelerate"} and module.startswith(("lnl", "methods."))
    return words[0] == "lnl" or by_module


def _in_image(words: list[str]) -> list[str]:
    """What a command of Docker or Apptainer starts in the image."""
    if words[0].startswith("docker/"):
        assert (PROJECT / words[0]).stat().st_mode & 0o100, words[0]
        return words[1:] if words[0] == "docker/run" else []
    if words[:2] == ["docker", "compose"] and len(words) > 2:
        assert words[2:4] == ["-f", "docker/compose.yaml"]
        services = yaml.safe_load((PROJECT / words[3]).read_text())["services"]
        named = [number for number, word in enumerate(words) if word in services]
        assert named, words
        started = words[named[0] + 1 :]
        return started if words[named[0]].startswith("trainer") else []
    if "run" in words[:2]:
        images = [n for n, word in enumerate(words) if word.startswith(("lnl-lab:", "IMAGE"))]
        return words[images[-1] + 1 :] if images else []
    return []


def _read_by_program(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a program read its command line, and stop it there."""
    source = _source_of_module(words[1]) if words[0] == "-m" else PROJECT / words[0]
    assert _reads_flags(source), f"no program that reads flags: {words}"
    _stop_after_reading(monkeypatch)
    with pytest.raises(Read):
        run_here(words, monkeypatch)


def _read_by_lnl(path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command of `lnl` read its command line, and stop it there."""
    if words[:1] == ["run"] and len(words) > 1:
        _read_by_method(path, [f"methods/{words[1]}.py", *words[2:]])
    elif words and words[0] not in _HELP:
        _stop_after_reading(monkeypatch)
        monkeypatch.setattr(sys, "argv", ["lnl", *words])
        with pytest.raises(Read):
            command.main()


def _source_of_module(name: str) -> Path:
    """The file that `python -m` runs, if the module is one of the laboratory."""
    path = PROJECT.joinpath(*name.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def _reads_flags(source: Path) -> bool:
    """Whether a file of the laboratory calls what stops it; another one would do its work."""
    if not source.is_file() or not any(source.is_relative_to(room) for room in _ROOMS):
        return False
    calls = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)]
    return any(ast.unparse(call.func).rpartition(".")[2] in _READERS for call in calls)


def _stop_after_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    cli, subcommands = tyro.cli, tyro.extras.subcommand_cli_from_dict

    def idle(function: Any) -> Any:
        """The same flags, but nothing is done."""
        if not inspect.isfunction(function):
            return function
        return functools.wraps(function)(lambda *args, **kwargs: None)

    def read(kind: Any, **options: Any) -> None:
        cli(idle(kind), **options)
        raise Read

    def read_subcommand(functions: Any, **options: Any) -> None:
        with monkeypatch.context() as inner:
            inner.setattr(tyro, "cli", cli)
            subcommands({name: idle(one) for name, one in functions.items()}, **options)
        raise Read

    monkeypatch.setattr(tyro, "cli", read)
    monkeypatch.setattr(tyro.extras, "subcommand_cli_from_dict", read_subcommand)


def _read_by_method(path: Path, words: list[str]) -> None:
    """Read the flags of a method script, with the entries that its page shows."""
    launched = launch_command_parser().parse_args(words)
    script = launched.training_script
    name = script.rpartition(".")[2] if launched.module else Path(script).stem
    if name == "NAME":
        return
    params = params_of(path)
    flags = launched.training_script_args
    settings = parse_flags(load_method(name), flags, params)[0].settings
    named = {getattr(settings, role, None) for role in ("start_from", "encoder")} - {None}
    assert named <= set(params.encoders)


def _read_by_mlflow(words: list[str]) -> None:
    from mlflow.cli import cli  # takes seconds

    assert cli.get_command(click.Context(cli), words[0]) is not None
