"""One kind of error for what a user can mend, and the guard that prints it as one line."""

import difflib
import functools
import io
import os
import reprlib
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import ParamSpec

from pipeline.installation import as_typed

P = ParamSpec("P")

_MESSAGE = 590
"""Longest message, in characters; with `error: ` before it, it stays below 600."""
_PART = 280
"""Longest part of a message."""
_THIRD = 188
"""Longest part where the three together would be too long."""
_QUOTE = 80
_OTHER_FIRST_SECONDS = 10.0
_SHOWN = 12


class LabError(Exception):
    """Something the user gave, or the machine holds, that the laboratory cannot work with.

    Args:
        given: what was found, naming the offending thing.
        allowed: what would be accepted instead.
        remedy: what to type or do; may be empty where `allowed` already says it.
        exit_code: exit status of a program that ends with this error.
    """

    def __init__(self, given: str, allowed: str, remedy: str = "", exit_code: int = 2) -> None:
        self.given, self.allowed, self.remedy, self.exit_code = given, allowed, remedy, exit_code
        super().__init__(given, allowed, remedy, exit_code)

    def __str__(self) -> str:
        """The three parts on one line, whatever line breaks a library put into them."""
        whole = self._joined(_PART)
        return whole if len(whole) <= _MESSAGE else self._joined(_THIRD)

    def _joined(self, longest: int) -> str:
        marked = (("", self.given), ("expected: ", self.allowed), ("try: ", self.remedy))
        return "; ".join(mark + _one_line(part, longest) for mark, part in marked if part)


def _one_line(part: str, longest: int) -> str:
    words = as_typed(" ".join(part.split())).rstrip(";.")
    text = "".join(letter if letter.isprintable() else "?" for letter in words)
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 4 :]}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _QUOTE
"""Never walks through a huge or recursive value, as `repr` does."""


def quoted(value: object) -> str:
    """`value` as Python writes it, in the middle shortened to about 80 characters."""
    try:
        text = _SHORT.repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a strange object
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _QUOTE else f"{text[: _QUOTE - 20]} ... {text[-15:]}"


class ToldElsewhere(LabError):
    """An error that another process of the same run tells: this one ends without a word."""


class Interrupted(Exception):
    """A run was asked to stop (Ctrl-C or SIGTERM) and has saved its state.

    Args:
        message: one line saying what was saved and how to continue.
        signal_number: the signal that asked.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        self.message, self.signal_number = message, signal_number
        # Both arguments reach the base class: an exception from a worker process is rebuilt so.
        super().__init__(message, signal_number)

    def __str__(self) -> str:
        """The message."""
        return self.message


def suggest(name: object, choices: Iterable[str], otherwise: str = "") -> tuple[str, str]:
    """The last two parts of an error about a name that is none of `choices`.

    Args:
        name: what was given, of any type.
        choices: the names that are known.
        otherwise: what else to do than to give one of them.

    Returns:
        What is allowed, and what to try: the nearest name, if one is near, or `otherwise`.
    """
    known = sorted(set(choices))
    text = name if isinstance(name, str) else quoted(name)
    nearest = difflib.get_close_matches(text[:_QUOTE], known, n=1, cutoff=0.5)
    remedies = [remedy for remedy in (*nearest, otherwise) if remedy]
    listed = ", ".join(known[:_SHOWN])
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return (f"one of {listed}{more}" if known else "there is none yet"), " or ".join(remedies)


_REPORT = (
    "a defect of the laboratory, not of what you gave; expected: no traceback; try: report the "
    "lines above together with the command you typed"
)


def program(main: Callable[P, None]) -> Callable[P, None]:
    """Make `main` a program: a mendable error becomes one line on stderr and a non-zero exit.

    Of several processes that share an error only one tells it.

    Any other exception is a defect: its traceback is printed, and a line that says so.
    """

    @functools.wraps(main)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Progress is seen in a log file, too; a terminal without UTF-8 shows escapes.
            sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
        try:
            main(*args, **kwargs)
        except ToldElsewhere as error:
            # A launcher ends all processes with the first one: let that one be the one that tells.
            time.sleep(_OTHER_FIRST_SECONDS)
            sys.exit(error.exit_code)
        except LabError as error:
            sys.exit(_fail(str(error), error.exit_code))
        except Interrupted as stop:
            sys.exit(_fail(str(stop), 128 + stop.signal_number))
        except KeyboardInterrupt:
            sys.exit(_fail("interrupted", 128 + signal.SIGINT))
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough; Python's last flush must not complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        except MemoryError:
            line = LabError("the machine is out of memory", "room for this run", "a smaller batch")
            sys.exit(_fail(str(line), 1))
        except RecursionError:
            line = LabError("input nested beyond reason", "flat values", "look at the input files")
            sys.exit(_fail(str(line), 1))
        except OSError as error:
            # A full disk, a read-only folder: the operating system's words name the file.
            words = LabError(f"the system refused: {error}", "a file that can be read and written",
                             "make room, mend its permissions or name another place")  # fmt: skip
            sys.exit(_fail(str(words), 1))
        except Exception:
            sys.excepthook(*sys.exc_info())
            sys.exit(_fail(_REPORT, 1))

    return guarded


def _fail(line: str, exit_code: int) -> int:
    print(f"error: {line}", file=sys.stderr)
    return exit_code
