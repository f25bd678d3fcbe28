"""One command: it starts the program that its first word names, as that program is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lnl.command import main
from lnl.completion import main as completion
from lnl.one_run import methods
from pipeline.files import method_names
from pipeline.installation import PROGRAMS
from tests.support.runs import row, run


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/lnl", *words])
    try:
        main()
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_every_program(monkeypatch, capsys, words):
    assert typed(monkeypatch, *words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: lnl ")
    assert all(f"• {word} " in shown for word in PROGRAMS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["leaderbord"], "command 'leaderbord'; expected: one of"),
        (["run", "robust_los"], "method 'robust_los'; expected: one of"),
        (["labels", "digits"], "try: uv run lnl labels --help"),
        (["noise", "sho"], "try: uv run lnl noise --help"),
        (["leaderboard", "--protocl", "last"], "try: --protocol or uv run lnl leaderboard --help"),
        (["run", "robust_loss", "--lss", "ce"], "uv run lnl run robust_loss --help"),
    ],
)
def test_a_faulty_command_is_one_line(lab, monkeypatch, capsys, words, said):
    assert typed(monkeypatch, *words) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert said in complaint


def test_it_does_what_the_programs_do(lab, monkeypatch, capsys):
    assert typed(monkeypatch, "labels", "digits", "pair-40") == 0
    assert (lab / "labels" / "digits" / "pair-40").is_dir()
    assert typed(monkeypatch, "run", "robust_loss", "--epochs", "1", "--no-tracking") == 0
    assert f"run {(key := run(epochs=1).key)} done" in capsys.readouterr().out
    assert row(key)["command"] == "lnl run robust_loss --epochs 1 --no-tracking"
    assert typed(monkeypatch, "runs", "show", key[:6]) == 0
    assert key in capsys.readouterr().out
    assert typed(monkeypatch, "leaderboard", "--format", "csv") == 0
    assert capsys.readouterr().out.count("\n") == 2


def test_a_params_file_is_written_once(lab, monkeypatch, capsys):
    (lab / "params.yaml").unlink()
    assert typed(monkeypatch, "init") == 0
    assert (lab / "params.yaml").read_text().startswith("# What `dvc repro` makes")
    assert typed(monkeypatch, "init") == 2
    assert "is there already" in capsys.readouterr().err


def test_methods_are_told_without_importing_them():
    assert list(methods()) == method_names()
    assert all(says and "\n" not in says for says in methods().values())


@pytest.mark.slow
def test_a_shell_completes_commands_flags_and_values(lab, monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr(sys, "argv", ["completion", "bash"])
    with pytest.raises(SystemExit) as ending:
        completion()
    assert ending.value.code in {0, None}
    (tmp_path / "script").write_text(capsys.readouterr().out)

    def completed(*words: str) -> set[str]:
        ask = f"source ./script; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        ask += '_tyro_lnl; printf "%s\\n" "${COMPREPLY[@]}"'
        bash = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, check=True)
        return set(bash.stdout.decode().split())

    assert completed("lnl", "le") == {"leaderboard"}
    assert completed("lnl", "label") == {"labels", "label-errors"}
    assert "--loss" in completed("lnl", "run", "robust_loss", "--lo")
    assert {"last", "oracle"} <= completed("lnl", "leaderboard", "--protocol", "''")
    assert completed("lnl", "noise", "im") == {"import"}
