"""The reference of settings: what params.yaml and flags take, read from the settings classes."""

from __future__ import annotations

import html
import inspect
import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import Execution, Grid, Params, Range, RunSettings, Tune
from pipeline.config.engines import EngineSettings
from pipeline.data.data_spec import DataSpec
from pipeline.encoders.encoder_spec import EncoderSpec
from pipeline.files import methods_folder
from pipeline.noise.noise_spec import NoiseSpec
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.recipes import recipes_of

_HEAD = """# Settings

Later ones win: the defaults below, the rows of `--recipe` that match the cell, `params.yaml`,
flags. A flag has the name of its setting with hyphens: `lr_decay` is `--lr-decay`, and a switch
such as `nesterov` is `--nesterov` or `--no-nesterov`. `--help` of a method script shows the values
that hold without any flag. Unknown names and values out of range are refused in one line that names
the nearest one.

Settings of runs change numbers, so they are part of the key of a run, but for the names of its
inputs: these are in the key by the digests of what they stand for. How a run is carried out is no
part of it.
"""
_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false",
          Any: "any value"}  # fmt: skip
_UNIONS = {Union, types.UnionType}
_OF_KIND = "block of kind "


def settings_page() -> str:
    """The page, as Markdown."""
    return "\n".join([
        _HEAD,
        _section("Of every run", [RunSettings], "The `run` block of params.yaml, and flags."),
        _section("Of single methods", [], _OF_METHODS),
        *_methods(),
        _section("How a run is carried out", [Execution], "Flags of every method script."),
        _section("Blocks of params.yaml", [Params], ""),
        _section("The grid", [Grid], "The block `grid`; [grids](../grids.md) tells how it runs."),
        _section("Searches", [Tune], "The block `tune`; see [tuning](../tuning.md)."),
        _section("Ranges", [Range], "What a search takes numbers from."),
        _section("Engines", _branches(EngineSettings), "Entries of `engines`."),
        _section("Data sets", [DataSpec],
                 "Entries of `datasets`; see [data sets](../datasets.md)."),
        _section("Label noise", _branches(NoiseSpec),
                 "Entries of `noise`; see [noise](../noise.md)."),
        _section("Encoders", _branches(EncoderSpec),
                 "Entries of `encoders`; see [encoders](../encoders.md)."),
    ])  # fmt: skip


_OF_METHODS = """Flags of the script, and the entry of the method under `methods`. Listed is what
it adds to the settings of every run, and where its default differs from theirs."""


def _methods() -> Iterator[str]:
    for path in sorted(methods_folder().glob("[!_]*.py")):
        method = load_method(path.stem)
        known = RunSettings.model_fields
        own = {
            name: field
            for name, field in method.Settings.model_fields.items()
            if name not in known or field.default != known[name].default
        }
        recipes = ", ".join(f"`{name}`" for name in recipes_of(path.stem))
        says = (inspect.getdoc(inspect.getmodule(method)) or "").partition("\n")[0]
        yield f"### `{path.stem}`\n\n{_plain(says)} Recipes: {recipes}.\n"
        if own:
            yield _table(own, method.Settings)


def _section(title: str, models: Iterable[type[BaseModel]], says: str) -> str:
    parts = [f"## {title}\n"]
    if says:
        parts.append(f"{says}\n")
    for model in models:
        kind = model.model_fields.get("kind")
        if kind is not None and kind.default is not None and not kind.is_required():
            parts.append(f"### `kind: {kind.default}`\n\n{_first_line(model)}\n")
        parts.append(_table(model.model_fields, model))
    return "\n".join(parts)


def _table(fields: Mapping[str, FieldInfo], model: type[BaseModel]) -> str:
    lines = [f"| {' | '.join(map(_plain, row))} |" for row in _rows(fields, _told(model))]
    return "\n".join(["| setting | takes | default | meaning |", "|---|---|---|---|", *lines, ""])


def _rows(
    fields: Mapping[str, FieldInfo], told: Mapping[str, str], within: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """A row per setting; those of a block that is always there stand by themselves."""
    for name, field in fields.items():
        if isinstance(field.default, BaseModel):
            yield from _rows(type(field.default).model_fields, {}, f"{within}{name}.")
        elif name != "kind" or field.is_required():
            takes = _takes(field.annotation, field.metadata)
            says = field.description or told.get(name, "")
            yield f"`{within}{name}`", takes, _default(field), says


def _told(model: type[BaseModel]) -> dict[str, str]:
    """What the docstring of a class says of its fields, under `Args:`."""
    listed = (inspect.getdoc(model) or "").partition("Args:\n")[2]
    return dict(re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", listed, re.MULTILINE))


def _first_line(model: type[BaseModel]) -> str:
    return _plain((inspect.getdoc(model) or "").partition("\n\n")[0])


def _takes(annotation: Any, marks: Iterable[object] = ()) -> str:
    """What a setting takes, such as "number, above 0, at most 1,000, or null"."""
    bounds = [bound for mark in marks for bound in _bounds(mark)]
    branches = get_args(annotation) if get_origin(annotation) in _UNIONS else (annotation,)
    words = list(dict.fromkeys(_type(one) for one in branches if one is not type(None)))
    takes = ", ".join([_either(words), *bounds])
    return f"{takes}{', ' if bounds else ' '}or null" if type(None) in branches else takes


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = annotation.model_fields.get("kind")
        return "block" if kind is None else f"{_OF_KIND}{kind.default}"
    if origin is Annotated:
        words = _takes(arguments[0], arguments[1:])
    elif origin is Literal:
        words = ", ".join(str(value) for value in arguments)
    elif origin in _UNIONS:
        words = _takes(annotation)
    elif origin is tuple:
        words = f"list of {_type(arguments[0])}"
    else:
        words = "mapping" if origin is dict else _WORDS[annotation]
    return words


def _either(words: list[str]) -> str:
    """Alternatives in words; kinds of blocks are told by their names."""
    kinds = [word.removeprefix(_OF_KIND) for word in words if word.startswith(_OF_KIND)]
    others = [word for word in words if not word.startswith(_OF_KIND)]
    return " or ".join([*others, *([_OF_KIND + ", ".join(kinds)] if kinds else [])])


def _bounds(mark: object) -> Iterator[str]:
    match mark:
        case FieldInfo(metadata=marks):
            yield from (bound for one in marks for bound in _bounds(one))
        case annotated_types.Ge(ge=bound):
            yield f"at least {_number(bound)}"
        case annotated_types.Gt(gt=bound):
            yield f"above {_number(bound)}"
        case annotated_types.Le(le=bound):
            yield f"at most {_number(bound)}"
        case annotated_types.Lt(lt=bound):
            yield f"below {_number(bound)}"


def _number(bound: Any) -> str:
    return f"{int(bound) if bound == int(bound) else bound:,}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default_factory is not None:
        return "by kind"
    return field.default if isinstance(field.default, str) else json.dumps(field.default)


def _branches(union: Any) -> list[type[BaseModel]]:
    """The classes of a union, or of one that is annotated, in its order."""
    if get_origin(union) is Annotated:
        return _branches(get_args(union)[0])
    if get_origin(union) in _UNIONS:
        return [model for branch in get_args(union) for model in _branches(branch)]
    return [union]


def _plain(text: str) -> str:
    """Text for a cell of a table; what stands in backticks stays code."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [
        re.sub(r"([*\[\]])", r"\\\1", html.escape(one, quote=False)) for one in parts[::2]
    ]
    return "`".join(parts).replace("|", "\\|")
