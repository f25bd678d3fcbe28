"""One kind of error for what a user can mend, and the guard that prints it as one line."""

import difflib
import functools
import io
import signal
import sys
from collections.abc import Callable, Iterable
from typing import ParamSpec

P = ParamSpec("P")


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
        parts = (self.given, self.allowed, self.remedy)
        return "; ".join(" ".join(part.split()).rstrip(";.") for part in parts if part)


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


def suggest(name: str, choices: Iterable[str]) -> str:
    """Name the nearest of `choices` and list them all, for the `allowed` part of an error."""
    known = sorted(set(choices))
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}allowed: {', '.join(known) or 'none'}"


def program(main: Callable[P, None]) -> Callable[P, None]:
    """Make `main` a program: a mendable error becomes one line on stderr and a non-zero exit."""

    @functools.wraps(main)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # progress is seen in a log file, too
        try:
            main(*args, **kwargs)
        except LabError as error:
            sys.exit(_fail(str(error), error.exit_code))
        except Interrupted as stop:
            sys.exit(_fail(str(stop), 128 + stop.signal_number))
        except KeyboardInterrupt:
            sys.exit(_fail("interrupted", 128 + signal.SIGINT))
        except OSError as error:
            # A full disk, a read-only folder: the operating system's words name the file.
            sys.exit(_fail(f"the system refused: {error}", 1))

    return guarded


def _fail(line: str, exit_code: int) -> int:
    print(f"error: {line}", file=sys.stderr)
    return exit_code
