"""The first words of a command: one of some names, which --help lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.command_line import given_words, run_subcommand
from pipeline.errors import LabError, quoted, suggest

_HELP = ("-h", "--help")


def chosen(what: str, choices: Mapping[str, str], description: str | None) -> str:
    """The first word that was given.

    Args:
        what: it names, such as `command`.
        choices: the words that are known -> what each stands for, in a sentence.
        description: shown by --help.

    Returns:
        The word.

    Raises:
        LabError: for a word that is not known.
        SystemExit: with code 0 after --help, which is shown where no word was given.
    """
    word = (given_words() or ["--help"])[0]
    if word in _HELP:
        listed = {name: _doing_nothing(says) for name, says in choices.items()}
        run_subcommand(listed, description, ["--help"])
    if word not in choices:
        raise LabError(f"{what} {quoted(word)}", *suggest(word, choices))
    return word


def _doing_nothing(says: str) -> Callable[[], None]:
    def nothing() -> None: ...

    nothing.__doc__ = says
    return nothing
