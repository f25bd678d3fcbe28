"""The random streams of a run: each follows the root seed, unless it has a seed of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from pipeline.config.checking import STRICT

NOT_IN_KEY: dict[str, JsonValue] = {"in_key": False}
"""Marks a settings field whose meaning reaches the key by another way (a digest) or not at all."""
_SEEDS = 2**63
Seed = Annotated[int, Field(ge=0, lt=_SEEDS)]
"""Root of random streams."""
_LABEL_SEEDS = 2**32
LabelSeed = Annotated[int, Field(ge=0, lt=_LABEL_SEEDS)]
"""Seed of a draw of labels."""
StreamName = Literal["split", "noise", "init", "order", "augment", "method"]
"""Random streams of a run."""


def _is_not_set(seed: int | None) -> bool:
    return seed is None


def _own(below: int = _SEEDS, **marks: JsonValue) -> int | None:
    """A seed that is no part of key or stored settings while it is not set."""
    extra: dict[str, JsonValue] = {"as_before": None, **marks}
    found: int | None = Field(None, ge=0, lt=below, exclude_if=_is_not_set, json_schema_extra=extra)
    return found


class Seeds(BaseModel):
    """Seeds of single streams. One that equals the root seed counts as not set."""

    model_config = STRICT

    split: int | None = _own()
    """Samples that are held out for validation, and those left out by down_sample."""
    noise: int | None = _own(_LABEL_SEEDS, **NOT_IN_KEY)
    """Draw of the label table, in place of the seed of its entry; no effect on labels that nobody
    draws, such as those of a file."""
    init: int | None = _own()
    """Weights at the start, and of what is renewed."""
    order: int | None = _own()
    """Order of the samples in each epoch."""
    augment: int | None = _own()
    """Crops, flips and whatever else views draw."""
    method: int | None = _own()
    """All that a method draws: mixing, dropout, noise on its targets, starts of its fits."""

    @property
    def set_apart(self) -> dict[str, int]:
        """The seeds that are set, by stream."""
        return {name: seed for name, seed in self if seed is not None}


class Crossed(BaseModel):
    """Seeds of the cells of a grid by random stream; a stream without any follows the root seed."""

    model_config = STRICT

    root: tuple[Seed, ...] = Field((0,), min_length=1)
    split: tuple[Seed, ...] = ()
    noise: tuple[LabelSeed, ...] = ()
    init: tuple[Seed, ...] = ()
    order: tuple[Seed, ...] = ()
    augment: tuple[Seed, ...] = ()
    method: tuple[Seed, ...] = ()
