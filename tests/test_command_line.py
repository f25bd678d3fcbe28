"""Command lines: what is read, and one line for what is not."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import tyro

from pipeline.command_line import (
    named_by,
    read_flags,
    reads_of,
    run_function,
    run_subcommand,
)
from pipeline.errors import LabError, program


@dataclass(frozen=True)
class Flags:
    """Some flags."""

    name: Annotated[str, tyro.conf.Positional]
    lr: float = 0.1
    kind: Literal["pair", "symmetric"] = "pair"
    seeds: tuple[int, ...] = ()


def test_flags_that_are_read():
    found = read_flags(Flags, None, ["digits", "--lr", "1e-3", "--seeds", "1", "2"])
    assert found == Flags("digits", 1e-3, "pair", (1, 2))
    assert read_flags(Flags, None, ["x"], default=Flags("y", lr=3.0)).lr == 3.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name"),
        (["x", "y"], "y"),
        (["x", "--nope", "3"], "--nope"),
        (["x", "--lr", "abc"], "--lr"),
        (["x", "--lr"], "--lr"),
        (["x", "--kind", "other"], "other"),
        (["x", "--kind", "o" * 3000], "--kind"),
        (["x" * 5000], "argument 'xxx"),
        (["x", "--seeds", "1", "two"], "--seeds"),
    ],
)
def test_a_faulty_command_line_is_one_line(words, said, capsys):
    with pytest.raises(LabError) as refusal:
        read_flags(Flags, "What it does.", words)
    message = str(refusal.value)
    assert said in message
    assert "--help" in message
    assert len(message) < 600
    assert not set(message) & set("│╭╰─")
    assert "---" not in message
    assert (refusal.value.exit_code, capsys.readouterr().err) == (2, "")


def test_help_is_shown_and_ends_well(capsys):
    with pytest.raises(SystemExit) as ending:
        read_flags(Flags, "What it does.", ["--help"])
    assert ending.value.code in {0, None}
    assert "What it does." in capsys.readouterr().out


def test_subcommands_run_after_the_line_is_read(capsys):
    done = []

    def make(name: str, /, seed: int = 0) -> None:
        done.append((name, seed))

    def fail() -> None:
        raise LabError("too late", "earlier", "again")

    commands = {"make": make, "fail": fail}
    run_subcommand(commands, None, ["make", "a", "--seed", "3"])
    assert done == [("a", 3)]
    with pytest.raises(LabError, match="too late"):
        run_subcommand(commands, None, ["fail"])
    for words in ([], ["mak"], ["make"], ["make", "a", "--sed", "3"], ["make", "a", "--seed", "x"]):
        with pytest.raises(LabError, match="--help"):
            run_subcommand(commands, None, words)
    assert done == [("a", 3)]
    run_function(make, ["b", "--seed", "4"])
    assert done == [("a", 3), ("b", 4)]
    with pytest.raises(LabError, match="--help"):
        run_function(make, ["b", "c"])
    assert capsys.readouterr().err == ""


def test_a_program_that_others_start_reads_what_follows_its_name(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/lnl", "make", "--lr", "2.0", "x"])
    with named_by("lnl", "make"):
        assert read_flags(Flags, None) == Flags("x", lr=2.0)
        with pytest.raises(LabError, match="try: uv run lnl make --help"):
            read_flags(Flags, None, [])
    with pytest.raises(LabError, match="Unrecognized|make"):
        read_flags(Flags, None)


def test_a_program_can_be_asked_what_it_reads_without_doing_anything():
    done = []

    @program
    def flags():
        done.append(read_flags(Flags, None))

    commands = {"make": done.append}
    assert reads_of(flags) is Flags
    assert reads_of(lambda: run_subcommand(commands, None)) is commands
    assert reads_of(lambda: run_function(done.append)) == done.append
    assert done == []
    with pytest.raises(TypeError, match="reads no command line"):
        reads_of(lambda: None)
