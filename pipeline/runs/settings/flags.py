"""The command line of a method script: what was typed, resolved as a grid resolves its cells."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

import tyro
from pydantic import BaseModel

from pipeline.command_line import read_flags
from pipeline.config import Execution, Params, Seeds, validated
from pipeline.runs.settings.help import BRIEF, WHOLE, show_help
from pipeline.runs.settings.resolve import Resolved, resolve_over_pinned
from pipeline.training.method import Method


def parse_flags(
    method: type[Method], arguments: Sequence[str] | None, params: Params
) -> tuple[Resolved, Execution]:
    """Settings of a method script from its command line.

    Args:
        method: whose flags.
        arguments: the command line, None for that of the program.
        params: gives what the flags leave open.

    Returns:
        The resolved settings and how to carry out the run.

    Raises:
        LabError: as `resolve`.
        SystemExit: after the help, and for flags that cannot be read.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = {*BRIEF, WHOLE}.intersection(words)
    typed = _typed(method, _with_mode([word for word in words if word not in asked]))
    resolved = resolve_over_pinned(method, params, typed["run"])
    execution = validated(Execution, typed["execution"], "flags")
    if asked:
        show_help(method, resolved.settings, execution, whole=WHOLE in asked)
    return resolved, execution


def _typed(method: type[Method], words: list[str]) -> dict[str, dict[str, Any]]:
    """The flags that were typed, and no others: a default would hide what the recipe says."""
    groups = {"run": _optional(method.Settings), "execution": _optional(Execution)}
    fields = {name: Annotated[group, tyro.conf.arg(name="")] for name, group in groups.items()}
    # Built at run time from the settings classes, so no type checker can read them.
    found: dict[str, dict[str, Any]] = read_flags(TypedDict("Flags", fields), None, words)  # type: ignore[operator]  # see above
    return found


def _with_mode(words: list[str]) -> list[str]:
    """The same words with a mode after a --compile that has none, and in place of --no-compile."""
    whole: list[str] = []
    for number, word in enumerate(words):
        followed = number + 1 < len(words) and not words[number + 1].startswith("-")
        if word == "--no-compile":
            whole += ["--compile", "off"]
        else:
            whole += [word, "default"] if word == "--compile" and not followed else [word]
    return whole


def _optional(model: type[BaseModel]) -> Any:
    """The fields of a settings class as a dictionary from which any may be left out."""
    fields = {
        name: NotRequired[
            _optional(Seeds)
            if field.annotation is Seeds
            else Annotated[field.annotation, tyro.conf.arg(help=field.description)]
        ]
        for name, field in model.model_fields.items()
    }
    return TypedDict(model.__name__, fields)  # type: ignore[operator]  # see `_typed`
