"""The help of a method script: a screen with the most used flags, or every flag by groups."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import make_dataclass
from typing import Annotated, Any, NoReturn

import tyro
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import Execution, RunSettings, Seeds
from pipeline.installation import as_typed
from pipeline.training.method import Method

BRIEF, WHOLE = frozenset({"-h", "--help"}), "--help-all"
"""Flags that ask for the screen, and for every flag."""
_USED = ("dataset", "noise", "recipe", "loss", "encoder", "seed", "epochs", "batch_size", "lr",
         "backbone")  # fmt: skip
"""Settings that most command lines name; the first eight that a method has are described."""
_USED_EXECUTION = ("root", "force")
_BEGINS = {
    "dataset": "run",
    "optimizer": "optimisation",
    "crop_padding": "images",
    "drop_last": "samples",
    "averaging": "arithmetic",
}
"""Settings of all methods at which a group begins, in their order."""
_MORE = re.compile(r"(?<=[\w)]) ?[:;(,].*|\.(\s.*)?$", re.DOTALL)
"""What a brief help leaves out of a description."""
_METAVARS = {int: "INT", float: "FLOAT"}


def show_help(
    method: type[Method], settings: RunSettings, execution: Execution, whole: bool
) -> NoReturn:
    """Print flags with the values that hold without them, and end the program.

    Args:
        method: whose flags.
        settings: that hold without further flags.
        execution: likewise.
        whole: every flag and all that is said of it; otherwise the ten most used ones, and the
            names of the others.

    Raises:
        SystemExit: with code 0.
    """
    values = {name: getattr(part, name) for part in (settings, execution) for name in _fields(part)}
    text = as_typed((sys.modules[method.__module__].__doc__ or "").strip())
    if whole:
        _print(_by_groups(method, values), text)
    else:
        used = _used(method)
        _print([_brief(method, name, values[name]) for name in used], text.partition("\n\n")[0])
        print(_others(method, used))
    raise SystemExit(0)


def groups(method: type[Method]) -> dict[str, dict[str, FieldInfo]]:
    """All flags of a method as fields of its settings, by groups; its own ones are the second."""
    common, title = RunSettings.model_fields, "run"
    own = {name: one for name, one in method.Settings.model_fields.items() if name not in common}
    found: dict[str, dict[str, FieldInfo]] = {"run": {}, method.name(): own}
    for name in common:
        title = _BEGINS.get(name, title)
        found.setdefault(title, {})[name] = method.Settings.model_fields[name]
    found["execution"] = dict(Execution.model_fields)
    return {title: fields for title, fields in found.items() if fields}


def _fields(part: BaseModel) -> Iterable[str]:
    return type(part).model_fields


def _used(method: type[Method]) -> list[str]:
    known = [name for name in _USED if name in method.Settings.model_fields]
    return [*known[:8], *_USED_EXECUTION]


def _by_groups(method: type[Method], values: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Every flag, as a nested dataclass for each group; flags with a dot are a group themselves."""
    parts: list[tuple[str, Any, Any]] = []
    for title, fields in groups(method).items():
        flags = [
            (name, Annotated[one.annotation, tyro.conf.arg(help=one.description)], values[name])
            for name, one in fields.items()
            if one.annotation is not Seeds
        ]
        kind: Any = make_dataclass("Group", flags, frozen=True)
        named = Annotated[kind, tyro.conf.arg(name=title), tyro.conf.OmitArgPrefixes]
        parts.append((title, named, kind()))
        parts += [
            (name, one.annotation, values[name])
            for name, one in fields.items()
            if one.annotation is Seeds
        ]
    return parts


def _brief(method: type[Method], name: str, value: Any) -> tuple[str, Any, Any]:
    """A flag with the beginning of its description; what may be given stands in the whole help."""
    one = {**method.Settings.model_fields, **Execution.model_fields}[name]
    said = _MORE.sub("", one.description or "")
    # Nothing and no are what anyone expects.
    hint = "" if value is None or value is False else None
    if isinstance(value, bool):
        shown = tyro.conf.arg(help=said, help_behavior_hint=hint)
        return name, Annotated[bool, shown, tyro.conf.FlagCreatePairsOff], value
    metavar = _METAVARS.get(type(value), "STR")
    shown = tyro.conf.arg(help=said, help_behavior_hint=hint, metavar=metavar)
    return name, Annotated[str, shown], str(value)


def _others(method: type[Method], used: Collection[str]) -> str:
    """The names of the flags that are not described, by groups."""
    lines = [f"Further flags ({WHOLE} describes them):"]
    for title, fields in groups(method).items():
        names = [
            f"--{name.replace('_', '-')}{'.STREAM' if one.annotation is Seeds else ''}"
            for name, one in fields.items()
            if name not in used
        ]
        lines += textwrap.wrap(
            f"{title}: {' '.join(names)}",
            width=max(40, shutil.get_terminal_size().columns - 1),
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _print(flags: list[tuple[str, Any, Any]], description: str) -> None:
    """The page that tyro makes of flags with their values."""
    with suppress(SystemExit):
        tyro.cli(make_dataclass("Flags", flags), args=["--help"], description=description)
