"""From defaults, recipe, params.yaml and flags to the settings of one run."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import tyro
from pydantic import BaseModel

from pipeline.config import Execution, Params, RunSettings, validated
from pipeline.errors import LabError, suggest
from pipeline.noise.noise_spec import NoiseSpec, parse
from pipeline.runs.recipes import Choice, choose
from pipeline.training.method import Method


class Resolved(NamedTuple):
    """The settings of a run, and how far its recipe was made for it."""

    settings: RunSettings
    recipe_status: str


def noise_spec(name: str, params: Params) -> NoiseSpec:
    """The label noise that params.yaml names; `clean` needs no entry.

    Raises:
        LabError: for an unknown name or a faulty entry.
    """
    if name in params.noise:
        return parse(params.noise[name], f"params.yaml: noise.{name}")
    if name == "clean":
        return parse({"kind": "clean"}, "noise clean")
    raise LabError(
        f"unknown noise {name!r}",
        *suggest(
            name,
            [*params.noise, "clean"],
            "a new entry under noise in params.yaml, as in  NAME: {kind: symmetric, rate: 0.4}",
        ),
    )


def pinned(method: type[Method], params: Params) -> dict[str, Any]:
    """What params.yaml pins for a method: its `run` block and the method's own."""
    return params.run | params.methods.get(method.name(), {})


def resolve(method: type[Method], values: dict[str, Any], params: Params) -> Resolved:
    """Complete explicit settings by the recipe and the class defaults.

    Args:
        method: whose settings.
        values: explicit settings, from params.yaml, a grid or flags.
        params: names the label noises.

    Returns:
        The checked settings and the status of their recipe.

    Raises:
        LabError: for an unknown key, recipe or noise, or a value out of range.
    """
    choice = _recipe_for(method, values, params)
    settings = validated(method.Settings, choice.settings | values, f"settings of {method.name()}")
    return Resolved(settings, choice.status)


def parse_flags(
    method: type[Method], arguments: Sequence[str] | None, params: Params
) -> tuple[Resolved, Execution]:
    """Settings of a method script from its command line.

    Args:
        method: whose flags.
        arguments: the command line, None for that of the program.
        params: gives the defaults.

    Returns:
        The resolved settings and how to carry out the run.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    description = (sys.modules[method.__module__].__doc__ or "").strip()
    base = pinned(method, params)
    # The flags decide which rows of the recipe hold, and the rows decide the flags' defaults:
    # the first reading finds the cell, the second one, with its rows as defaults, the settings.
    plain = [word for word in words if word not in {"-h", "--help"}]
    first = _read_flags(method, plain, base, description)
    recipe = _recipe_for(method, base | first.run, params)
    final = _read_flags(method, words, recipe.settings | base, description)
    settings = validated(method.Settings, final.run, f"settings of {method.name()}")
    return Resolved(settings, recipe.status), validated(Execution, final.execution, "flags")


def _recipe_for(method: type[Method], values: dict[str, Any], params: Params) -> Choice:
    cell = {name: field.default for name, field in method.Settings.model_fields.items()} | values
    spec = noise_spec(cell["noise"], params)
    facts = {"noise_kind": _kind_of_labels(spec), "rate": getattr(spec, "rate", None)}
    return choose(method.name(), cell["recipe"], cell | facts)


def _kind_of_labels(spec: NoiseSpec) -> str:
    """The kind of noise; of published labels the one they are said to follow, if it has a name."""
    stated: str | None = getattr(spec, "convention", None)
    return spec.kind if stated is None or "+" in stated else stated.partition("/")[0]


class _Flags(NamedTuple):
    run: dict[str, Any]
    execution: dict[str, Any]


def _read_flags(
    method: type[Method], words: list[str], defaults: dict[str, Any], description: str
) -> _Flags:
    run = _flag_group("Run", method.Settings, defaults)
    execution = _flag_group("Execution", Execution, {})
    both = dataclasses.make_dataclass(
        "Flags",
        [
            ("run", Annotated[run, tyro.conf.arg(name="")], dataclasses.field(default=run())),
            ("execution", Annotated[execution, tyro.conf.arg(name="")],
             dataclasses.field(default=execution())),
        ],
        frozen=True,
    )  # fmt: skip
    found: Any = tyro.cli(both, args=words, description=description)
    return _Flags(dataclasses.asdict(found.run), dataclasses.asdict(found.execution))


def _flag_group(title: str, model: type[BaseModel], defaults: dict[str, Any]) -> Any:
    """A plain dataclass with the fields of a settings class: tyro reads it, pydantic checks."""
    unknown = set(defaults) - set(model.model_fields)
    for name in sorted(unknown):
        raise LabError(f"unknown key {name!r} in params.yaml", *suggest(name, model.model_fields))
    fields = [
        (
            name,
            Annotated[field.annotation, tyro.conf.arg(help=field.description)],
            dataclasses.field(default=defaults.get(name, field.default)),
        )
        for name, field in model.model_fields.items()
    ]
    return dataclasses.make_dataclass(title, fields, frozen=True)
