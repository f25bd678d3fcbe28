"""Reading a command line, with complaints of one line like those of everything else."""

from __future__ import annotations

import functools
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from contextvars import ContextVar
from itertools import dropwhile, takewhile
from typing import Annotated, Any, TypeVar

import tyro

from pipeline.errors import LabError, quoted
from pipeline.installation import as_typed

Flags = TypeVar("Flags")

Value = TypeVar("Value")
Many = Annotated[tuple[tuple[Value, ...], ...], tyro.conf.UseAppendAction]
"""Values of a flag that may come several times, with one or more values each time."""

_name: ContextVar[tuple[str, ...]] = ContextVar("_name", default=())
"""Words of the command line that name the program; none where Python was given its file."""
_is_asked = ContextVar("_is_asked", default=False)
"""Whether a program only says what it reads."""
_FRAME = "│╭╮╰╯ "
_RULE = re.compile("[─-]{5,}")
_FLAG = re.compile(r"--[a-z][a-z0-9-]+")
_LONGEST = 4096
"""Longest word of a command line, in characters: that of a path."""


@contextmanager
def named_by(*words: str) -> Iterator[None]:
    """While entered, the program is the one that the first words of the command line name.

    Args:
        words: as they are typed, `lnl` first; its flags are what follows them.
    """
    before = _name.set(words)
    try:
        yield
    finally:
        _name.reset(before)


def given_words() -> list[str]:
    """The words of the command line behind those that name the program."""
    return sys.argv[max(len(_name.get()), 1) :]


class Asked(BaseException):
    """What a program would read from its command line, which is all that is wanted of it.

    Args:
        reads: a class or function of flags, or such functions by the word that names each.
    """

    def __init__(self, reads: Any) -> None:
        super().__init__(reads)
        self.reads = reads


def reads_of(main: Callable[[], None]) -> Any:
    """What a program reads from its command line; it is ended before it does anything with it.

    Args:
        main: of the program.

    Returns:
        As `Asked.reads`.
    """
    state = _is_asked.set(True)
    try:
        main()
    except Asked as found:
        return found.reads
    finally:
        _is_asked.reset(state)
    raise TypeError(f"{main} reads no command line")


def _answer(reads: Any) -> None:
    if _is_asked.get():
        raise Asked(reads)


def read_flags(
    kind: type[Flags],
    description: str | None,
    arguments: Sequence[str] | None = None,
    default: Flags | None = None,
) -> Flags:
    """The flags of a program.

    Args:
        kind: a dataclass or settings class that tyro reads.
        description: shown by --help.
        arguments: the command line; that of the program if None.
        default: values of the flags that are not given; those of the class if None.

    Returns:
        The object of that class.

    Raises:
        LabError: for a flag, word or value that the program does not take.
        SystemExit: with code 0 after --help.
    """
    _answer(kind)
    words = _words(arguments)
    with _brief_complaints():
        if default is None:
            return tyro.cli(kind, args=words, prog=_program(), description=_told(description))
        return tyro.cli(
            kind, args=words, prog=_program(), description=_told(description), default=default
        )


def joined(given: tuple[tuple[Value, ...], ...]) -> list[Value]:
    """The values of a flag that came several times, in order."""
    return [value for values in given for value in values]


def run_subcommand(
    functions: Mapping[str, Callable[..., None]],
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Call the function that the first word of the command line names, with its flags.

    Args:
        functions: by the word that names each; their parameters become flags.
        description: shown by --help.
        arguments: the command line; that of the program if None.

    Raises:
        LabError: for a word, flag or value that the program does not take, and what the function
            raises.
        SystemExit: with code 0 after --help.
    """
    _answer(functions)
    words = _words(arguments)
    bound = {name: _later(function) for name, function in functions.items()}
    with _brief_complaints():
        call = tyro.extras.subcommand_cli_from_dict(
            bound, args=words, prog=_program(), description=_told(description)
        )
    call()


def run_function(function: Callable[..., None], arguments: Sequence[str] | None = None) -> None:
    """Call one function with its flags, which are its parameters; its docstring is the help.

    Args:
        function: what the program does.
        arguments: the command line; that of the program if None.

    Raises:
        LabError, SystemExit: as `run_subcommand`.
    """
    _answer(function)
    words = _words(arguments)
    with _brief_complaints():
        call = tyro.cli(_later(function), args=words, prog=_program())
    call()


def _words(arguments: Sequence[str] | None) -> list[str]:
    words = given_words() if arguments is None else list(arguments)
    for word in words:
        if len(word) > _LONGEST:
            raise LabError(f"argument {quoted(word)}", f"at most {_LONGEST} characters", _help())
    return words


def _later(function: Callable[..., None]) -> Callable[..., Any]:
    """The same parameters, but what is called only stands ready."""

    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> Any:
        return functools.partial(function, *args, **kwargs)

    return bind


@contextmanager
def _brief_complaints() -> Iterator[None]:
    """Turn the framed pages that tyro prints about a faulty command line into one line."""
    printed = io.StringIO()
    try:
        with redirect_stderr(printed):
            yield
    except SystemExit as ending:
        if ending.code in {0, None}:
            raise
        page = printed.getvalue()
        remedy = " or ".join([*_nearest(page), _help()])
        raise LabError(_text_of_page(page), "flags and values that --help lists", remedy) from None
    sys.stderr.write(printed.getvalue())


def _text_of_page(page: str) -> str:
    """What stands between title and first rule of a page of tyro, framed or not."""
    lines = [line.strip(_FRAME) for line in page.splitlines() if line.strip()][1:]
    below_title = dropwhile(_RULE.fullmatch, lines)
    return " ".join(takewhile(lambda line: not _RULE.fullmatch(line), below_title))


def _nearest(page: str) -> list[str]:
    """The flag that a page of tyro holds for the one that was meant, if it names one."""
    return _FLAG.findall(page.partition("Perhaps you meant")[2])[:1]


def _told(description: str | None) -> str | None:
    """A description with its commands as they are typed here."""
    return None if description is None else as_typed(description)


def _program() -> str:
    if _name.get():
        return " ".join(_name.get())
    module = sys.modules["__main__"].__spec__
    words = sys.argv[0] if module is None else f"-m {module.name.removesuffix('.__main__')}"
    return f"python {words}"


def _help() -> str:
    return f"uv run {_program()} --help"
