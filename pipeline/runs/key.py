"""A run's identity: its key, and the group of runs that differ in their seeds alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.config import RunSettings, key_facts
from pipeline.identity import digest, run_key

_ARITHMETIC = {precision: {"evaluation": precision} for precision in ("bf16", "fp16")}
"""Runs in reduced precision are evaluated in it. The first ones were not, and keep their key."""
_SEEDS = frozenset({"seed", "seeds"})


class EncoderIdentity(NamedTuple):
    """What stands for an encoder in the identity of a run that names it."""

    key: str
    """Over everything that can change its weights; see `EncoderCard.identity`."""
    group: str
    """The same, but without the seeds that the encoder takes from the run."""


class Identity(NamedTuple):
    """What a run is."""

    key: str
    """Over everything that can change its numbers."""
    group: str
    """The same without the seeds, that of the labels among them: the runs to average over."""


def identify(
    method: str,
    version: int,
    settings: RunSettings,
    data_digest: str,
    labels_digest: str,
    entry_labels_digest: str,
    encoders: Mapping[str, EncoderIdentity],
) -> Identity:
    """The identity of a run.

    Args:
        method: name of the method.
        version: its VERSION.
        settings: fully resolved.
        data_digest: of its images.
        labels_digest: of its label table.
        entry_labels_digest: of the table as its entry draws it.
        encoders: that it names, by the setting that names them.

    Returns:
        Key and group.
    """
    hashed = key_facts(settings)
    facts = {
        "method": method,
        "version": version,
        "data": data_digest,
        **_ARITHMETIC.get(settings.precision, {}),
    }
    without_seeds = {name: value for name, value in hashed.items() if name not in _SEEDS}
    keys = {role: one.key for role, one in encoders.items()}
    groups = {role: one.group for role, one in encoders.items()}
    return Identity(
        run_key(facts | {"labels": labels_digest, "settings": hashed} | keys),
        digest(facts | {"labels": entry_labels_digest, "settings": without_seeds} | groups),
    )
