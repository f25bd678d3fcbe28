"""Which settings make up the key of a run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from pipeline.config.run_settings import RunSettings


def key_facts(settings: RunSettings) -> dict[str, Any]:
    """The settings that belong in a run's key.

    Left out are fields marked `in_key: False`, and fields at the value declared as `as_before`:
    one that was added later keeps old keys valid by declaring the value that means no change. A
    setting without effect beside the others counts as its default: such as momentum under adam.
    """
    return _facts(settings, settings.without_effect())


def _facts(settings: BaseModel, without_effect: Collection[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        value = field.default if name in without_effect else getattr(settings, name)
        if isinstance(value, BaseModel):
            value = _facts(value, ())
        unchanged = "as_before" in marks and value == marks["as_before"]
        if marks.get("in_key", True) and not unchanged:
            facts[name] = value
    return facts
