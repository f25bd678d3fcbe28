"""Whatever ends a program ends in one line and a true exit status."""

import subprocess
import sys

import pytest

from pipeline.errors import Interrupted, LabError, program, quoted, suggest


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        (LabError("a", "b", "c"), 2, "error: a; expected: b; try: c"),
        (LabError("a", "b", "c", exit_code=1), 1, "a; expected: b; try: c"),
        (LabError("a\nb\x1b[31m\0", "c", "d"), 2, "error: a b?[31m?; expected: c; try: d"),
        (Interrupted("saved", 15), 143, "error: saved"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "memory"),
        (RecursionError("deep"), 1, "nested"),
        (PermissionError(13, "Permission denied", "/some/file"), 1, "/some/file"),
        (OSError(28, "No space left on device"), 1, "No space left"),
    ],
)
def test_the_last_line(ending, code, words, capsys):
    @program
    def main():
        raise ending

    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == code
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1
    assert len(printed) <= 600


def test_a_defect_keeps_its_traceback_and_says_so(capsys):
    @program
    def main():
        raise KeyError("oops")

    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert any("Traceback" in line for line in lines)
    assert "KeyError" in lines[-2]
    assert "report" in lines[-1]


def test_no_message_is_longer_than_600_characters():
    for lengths in ((5000, 5000, 5000), (280, 280, 280), (5000, 10, 10), (10, 5000, 5000)):
        parts = ["x" * n for n in lengths]
        assert len(f"error: {LabError(*parts)}") <= 600
    assert str(LabError("a" * 270, "b" * 200, "c")).count("a") == 270


PROGRAM = """
import sys
from pipeline.errors import program

@program
def main():
    for number in range(100_000):
        print(f"line {number} é ∞")

main()
"""


def test_a_reader_that_leaves_ends_the_program_quietly():
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(60) == 141


def test_a_terminal_without_utf_8_shows_escapes():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("100_000", "1")],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "line 0 \\xe9 \\u221e\n"


def test_quotes_are_short_whatever_the_value():
    endless: list = []
    endless.append(endless)
    values = [
        "x" * 10**6,
        [0] * 10**6,
        {"a": "b" * 10**6},
        10**5000,
        endless,
        object(),
        b"x" * 10**6,
    ]
    for value in values:
        assert 0 < len(quoted(value)) <= 80
    assert quoted("a") == "'a'"


def test_suggestions_take_names_of_any_type():
    assert suggest("digts", ["digits", "cifar10"]) == ("one of cifar10, digits", "digits")
    for name in (None, 3, ["digits"], {"a": 1}, 10**5000, "x" * 10**6):
        allowed, remedy = suggest(name, ["cifar10"], "write one")
        assert (allowed, remedy.endswith("write one")) == ("one of cifar10", True)
