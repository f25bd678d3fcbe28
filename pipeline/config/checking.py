"""Values of any origin -> a frozen model, or one line: what was given, what is allowed, what to do.

What a field allows is said from its JSON schema, which pydantic derives from the annotation.
"""

from __future__ import annotations

import math
import operator
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import LabError, quoted, suggest

Model = TypeVar("Model", bound=BaseModel)
Schema = dict[str, Any]

STRICT = ConfigDict(
    frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
)
"""Of all settings: nothing unknown, no text or truth value for a number, no infinity."""

_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minItems": "of at least {}",
    "maxItems": "of at most {}",
}


def validated(model: type[Model], values: object, where: str) -> Model:
    """Make `model` from `values`.

    Args:
        model: settings class; lists are taken where it has tuples.
        values: its fields by name.
        where: what the values belong to, for the error.

    Returns:
        The frozen settings.

    Raises:
        LabError: naming the first offending key, what is allowed and the nearest known key.
    """
    if not isinstance(values, Mapping):
        raise LabError(
            f"{where}: {quoted(values)}", "a mapping of settings", _listed(model.model_fields)
        )
    for name in values:
        if not isinstance(name, str):
            raise LabError(
                f"unknown key {quoted(name)} in {where}",
                suggest("", model.model_fields)[0],
                "leave it out",
            )
        if values[name] is None and not _takes_none(model, name):
            raise _refusal(model, {"type": "none", "loc": (name,), "input": None}, where)
    try:
        return model.model_validate(_with_tuples(model, values))
    except ValidationError as failure:
        # A misspelt key is both unknown and missing: the unknown one says what happened.
        first = min(
            failure.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden"
        )
    raise _refusal(model, first, where)


def _refusal(model: type[BaseModel], error: Any, where: str) -> LabError:
    names, siblings, schema = _place(model, error["loc"])
    path = ".".join(names)
    given = f"{where}: {path} = {quoted(error['input'])}"
    match error["type"]:
        case "extra_forbidden":
            unknown = error["loc"][-1]
            given = f"unknown key {quoted('.'.join([*names, str(unknown)]))} in {where}"
            allowed, nearest = suggest(unknown, siblings)
            return LabError(given, allowed, nearest or "leave it out")
        case "missing":
            remedy = f"{names[-1]}: {_example(schema)}"
            return LabError(f"{where} lacks {path!r}", _allowed(schema), remedy)
        case "value_error" | "assertion_error":
            given = f"{given if path else where}: {error['msg'].partition(', ')[2]}"
            allowed = _allowed(schema) if path else "settings that go together"
            return LabError(given, allowed, "--help lists the settings and what they take")
    remedy = _example(schema, error["input"])
    is_key = bool(names) and not names[-1].isdigit()
    return LabError(given, _allowed(schema), f"{names[-1]}: {remedy}" if is_key else remedy)


class _Place(NamedTuple):
    """Where in the values an error lies."""

    names: list[str]
    """Keys and positions that lead there."""
    siblings: Mapping[str, object]
    """Keys known to what holds it."""
    schema: Schema
    """What is allowed there; empty for an unknown key."""


def _place(model: type[BaseModel], location: tuple[int | str, ...]) -> _Place:
    """Follow the location of an error; steps that name a branch of a union are left out."""
    whole = model.model_json_schema()
    place = _Place([], {}, whole)
    for step in location:
        branches = list(_branches(place.schema, whole))
        siblings = {name: s for b in branches for name, s in b.get("properties", {}).items()}
        found = next((s for b in branches if (s := _step(b, step)) is not None), None)
        if found is not None:
            place = _Place([*place.names, str(step)], siblings, _resolved(found, whole))
        else:
            place = place._replace(siblings=siblings)
    return place


def _resolved(schema: Schema, whole: Schema) -> Schema:
    target: Schema = whole
    if "$ref" not in schema:
        return schema
    for name in schema["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return target


def _branches(schema: Schema, whole: Schema) -> Iterator[Schema]:
    schema = _resolved(schema, whole)
    yield schema
    for branch in schema.get("anyOf") or schema.get("oneOf", []):
        yield from _branches(branch, whole)


def _step(schema: Schema, step: int | str) -> Schema | None:
    if isinstance(step, int):
        fixed = schema.get("prefixItems", [])
        found = fixed[step] if step < len(fixed) else schema.get("items")
    else:
        found = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
    return {} if found is True else found or None


def _choices(schema: Schema) -> list[Any]:
    found: list[Any] = list(schema.get("enum", [schema["const"]] if "const" in schema else []))
    for branch in schema.get("anyOf", ()):
        found += _choices(branch)
    return found


def _allowed(schema: Schema) -> str:
    """What a field allows, such as "a number, above 0, at most 10 or null"."""
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_allowed(branch) for branch in branches))
    if choices := _choices(schema):
        return suggest("", [str(choice) for choice in choices])[0]
    kind = "object" if "$ref" in schema else str(schema.get("type"))
    words = [_WORDS.get(kind, "a value of the documented form")]
    words += [
        text.format(_number(schema[name])) for name, text in _BOUNDS.items() if name in schema
    ]
    return ", ".join(words)


def _number(bound: float) -> str:
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:g}"


def _example(schema: Schema, given: object = None) -> str:
    """A value that a field takes: one near what was given, the default, or one of its kind."""
    branches = [schema, *(schema.get("anyOf") or schema.get("oneOf", ()))]
    kinds = [branch.get("type") for branch in branches]
    default = schema.get("default")
    if choices := [str(choice) for choice in _choices(schema)]:
        near = suggest(given, choices)[1] if isinstance(given, str) else ""
        return near or str(choices[0] if default is None else default)
    if isinstance(given, int) or (isinstance(given, float) and math.isfinite(given)):
        for name, is_beyond in (("maximum", operator.gt), ("minimum", operator.lt)):
            bounds = [branch[name] for branch in branches if name in branch]
            if bounds and is_beyond(given, bounds[0]):
                return f"{bounds[0]}"
    if default not in (None, "", []):
        return quoted(default).replace("True", "true").replace("False", "false")
    samples = {"null": "null", "integer": "1", "number": "0.1", "array": "[...]",
               "object": "{...}", "boolean": "true"}  # fmt: skip
    return next((text for kind, text in samples.items() if kind in kinds), "NAME")


def _listed(names: Mapping[str, object]) -> str:
    return "NAME: VALUE, where NAME is " + suggest("", names)[0]


def _takes_none(model: type[BaseModel], name: str) -> bool:
    """Whether null is a value of a field: a blank line in a file is no way to leave a key out."""
    if name not in model.model_fields:
        return True
    annotation = model.model_fields[name].annotation
    return annotation is Any or type(None) in get_args(annotation)


def _with_tuples(annotation: Any, value: Any) -> Any:
    """`value` with lists made tuples where the annotation has tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if not isinstance(value, Mapping):
            return value
        return {
            name: _with_tuples(fields[name].annotation, inner) if name in fields else inner
            for name, inner in value.items()
        }
    arguments = get_args(annotation)
    if get_origin(annotation) in {Union, types.UnionType, Annotated}:
        for branch in arguments:
            value = _with_tuples(branch, value)
        return value
    if get_origin(annotation) is tuple and isinstance(value, list | tuple):
        inner = arguments[0] if arguments[-1] is ... else Any
        return tuple(_with_tuples(inner, each) for each in value)
    if get_origin(annotation) is dict and isinstance(value, Mapping):
        return {name: _with_tuples(arguments[1], inner) for name, inner in value.items()}
    return value


def validated_kind(
    kinds: Mapping[str, type[BaseModel]], values: object, where: str, example: str
) -> BaseModel:
    """Make one of several models, the one that `kind` among the values names.

    Args:
        kinds: settings class by kind.
        values: the fields, as they were read from a file.
        where: what they belong to, for the error.
        example: of such a block, for the error.

    Returns:
        The frozen settings.

    Raises:
        LabError: for something else than a block, an unknown kind, and as `validated`.
    """
    if not isinstance(values, Mapping):
        raise LabError(f"{where} is {quoted(values)}", "a block of settings with a kind", example)
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise LabError(f"{where}: kind = {quoted(kind)}", *suggest(kind, kinds, example))
    return validated(kinds[kind], dict(values), where)
