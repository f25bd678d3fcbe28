"""A run before it starts, as one value: settings, inputs with their encoders, row and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import RunSettings
from pipeline.data.dataset import Dataset
from pipeline.encoders.artefact import load_encoder, read_encoder_card
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.kept import kept_weights_folder
from pipeline.files import encoders_folder
from pipeline.noise.label_table import LabelTable
from pipeline.runs.key import EncoderIdentity
from pipeline.runs.settings.resolve import Resolved
from pipeline.training.context import Knowledge
from pipeline.training.method import Method


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a run learns from."""

    dataset: Dataset
    table: LabelTable
    encoders: Mapping[str, NamedEncoder]
    """By the setting that names them."""
    noise_card: str
    """Card of the label table as JSON, written once for all runs that share it."""
    entry_labels_digest: str
    """Of the label table as its entry draws it, where the run learns from another draw or not."""


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A run that can be carried out.

    Args:
        method: what trains.
        resolved: its settings.
        inputs: what it learns from.
        settings: the same without how they were found.
        row: columns of the runs table that are known before it starts.
        key: over everything that can change its numbers.
    """

    method: type[Method]
    resolved: Resolved
    settings: RunSettings
    inputs: Inputs
    row: dict[str, Any]
    key: str


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder as one run asks for it.

    Args:
        name: of its entry in params.yaml.
        identity: what the identity of the asking run holds of it.
        knows: knowledge that came into its weights, whoever asks.
        run: that makes it; None for an import.
        is_closed: whether the entry names all it needs, so that it means one encoder.
    """

    name: str
    identity: EncoderIdentity
    knows: frozenset[Knowledge]
    run: PlannedRun | None
    is_closed: bool

    @property
    def folder(self) -> Path:
        """Where its weights lie; a copy, where they lie in a bucket."""
        published = encoders_folder(self.name)
        if self.run is None:
            return published
        return published if self.is_published else kept_weights_folder(self.run.key)

    @property
    def is_published(self) -> bool:
        """Whether the folder of the entry holds the weights of this very run."""
        card = read_encoder_card(encoders_folder(self.name)) if self.is_closed else None
        return card is not None and self.run is not None and card.run_key == self.run.key

    @property
    def exists(self) -> bool:
        """Whether its weights are there."""
        return read_encoder_card(self.folder) is not None

    def load(self) -> Encoder:
        """The encoder, on the CPU; raises LabError where it is missing or damaged."""
        return load_encoder(self.folder)
