"""A run's identity and its row in the runs table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pipeline.config import Params, RunSettings, key_facts
from pipeline.data.data_card import DataCard
from pipeline.data.dataset import load_dataset
from pipeline.files import labels_folder
from pipeline.identity import digest, run_key
from pipeline.noise.label_table import open_table
from pipeline.noise.noise_card import NoiseCard
from pipeline.runs.settings import Resolved, noise_spec
from pipeline.training.context import Knowledge
from pipeline.training.method import Method


class Identity(NamedTuple):
    """What a run is."""

    key: str
    """Over everything that can change its numbers."""
    group: str
    """The same without the seed: the runs to average over."""


class Cards(NamedTuple):
    """Descriptions of a run's inputs, read without opening images."""

    data: DataCard
    noise: NoiseCard
    noise_text: str
    """The noise card as JSON, written once for all runs that share it."""

    @classmethod
    def of(cls, data: DataCard, noise: NoiseCard) -> Cards:
        """The cards of one data set and one label table."""
        return cls(data, noise, noise.to_json())

    @classmethod
    def read(cls, dataset: str, noise: str) -> Cards:
        """The cards of inputs that are prepared."""
        return cls.of(load_dataset(dataset).card, open_table(labels_folder(dataset, noise)).card)


class EncoderFact(NamedTuple):
    """What the identity of a run and its row hold of an encoder it names."""

    identity: str
    """See `EncoderCard.identity`."""
    knows: frozenset[Knowledge]
    """Knowledge that came into its weights."""


_NO_ENCODERS: Mapping[str, EncoderFact] = MappingProxyType({})


def identify(
    method: type[Method],
    resolved: Resolved,
    cards: Cards,
    encoders: Mapping[str, EncoderFact] = _NO_ENCODERS,
) -> Identity:
    """The identity of a run; encoders are part of it where the run names some."""
    settings = key_facts(resolved.settings)
    facts = {
        "method": method.name(),
        "version": method.VERSION,
        "settings": settings,
        "data": cards.data.digest,
        "labels": cards.noise.labels_digest,
        **{role: encoder.identity for role, encoder in encoders.items()},
    }
    without_seed = {name: v for name, v in settings.items() if name != "seed"}
    return Identity(run_key(facts), digest(facts | {"settings": without_seed}))


def _knowledge(settings: RunSettings) -> set[str]:
    """Knowledge beyond the noisy labels that comes with the settings, whatever the method."""
    return set() if settings.validation == "held-out" else {"clean_validation"}


def describe(
    method: type[Method],
    resolved: Resolved,
    cards: Cards,
    params: Params,
    encoders: Mapping[str, EncoderFact] = _NO_ENCODERS,
) -> dict[str, Any]:
    """The columns of the runs table that are known before a run starts.

    Args:
        method: of the run.
        resolved: its settings.
        cards: of its inputs.
        params: names the label noise.
        encoders: that the run names, by the setting that names them.

    Returns:
        Column name -> value; counts, status and costs are for the runner to add.
    """
    settings, status = resolved
    identity = identify(method, resolved, cards, encoders)
    knows = (method.knows | _knowledge(settings)).union(*(one.knows for one in encoders.values()))
    spec = noise_spec(settings.noise, params)
    same_name = ("dataset", "noise", "seed", "recipe", "backbone", "epochs", "batch_size", "lr",
                 "weight_decay", "precision", "determinism")  # fmt: skip
    return {
        "key": identity.key,
        "group": identity.group,
        "method": method.name(),
        "variant": method.variant(settings),
        "version": method.VERSION,
        **{name: getattr(settings, name) for name in same_name},
        "noise_kind": spec.kind,
        "nominal_rate": cards.noise.nominal_rate,
        "realised_rate": cards.noise.realised_rate,
        "recipe_status": status,
        "settings": json.dumps(settings.model_dump(mode="json"), sort_keys=True),
        "data_digest": cards.data.digest,
        "labels_digest": cards.noise.labels_digest,
        "encoder_digest": "+".join(one.identity for one in encoders.values()) or None,
        "noise_card": cards.noise_text,
        "knows": sorted(knows),
        "class_names": list(cards.data.class_names),
    }
