"""How a program ends in this process: its exit code and its one line."""

import sys
from collections.abc import Callable

import pytest

from tests.support.mutations import LONGEST_MESSAGE


def ending(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    main: Callable[[], None],
    *words: str,
) -> tuple[int, str]:
    """Exit code of a program, and what it complained of."""
    monkeypatch.setattr(sys, "argv", ["program", *words])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    return code, capsys.readouterr().err


def check(code: int, complaint: str) -> None:
    """A program ended well, or with one line of three parts."""
    if code == 0:
        assert complaint == ""
        return
    assert code in (1, 2), complaint
    assert complaint.count("\n") == 1, complaint
    assert complaint.startswith("error: "), complaint
    assert "; expected: " in complaint, complaint
    assert "; try: " in complaint, complaint
    assert len(complaint) <= LONGEST_MESSAGE + 1, complaint
