"""The encoders that the settings of a run name: what identifies them, and where they lie.

Settings name entries of the `encoders` block of params.yaml. An entry of kind `run` is itself a run
of a method, known by its key before it has run; it may name an encoder, too. Others are imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Params, RunSettings
from pipeline.encoders import artefact
from pipeline.encoders.encoder import Encoder, EncoderCard
from pipeline.encoders.encoder_spec import ImportedSpec, RunEncoder, encoder_spec
from pipeline.encoders.importing import import_encoder, import_settings
from pipeline.errors import LabError
from pipeline.files import encoders_folder, kept_weights_folder
from pipeline.runs.inputs import prepare_data, prepare_labels
from pipeline.runs.key import Cards, EncoderFact, describe
from pipeline.runs.methods import load_method
from pipeline.runs.settings import Resolved, noise_spec, pinned, resolve
from pipeline.training.context import Knowledge
from pipeline.training.method import Method

ROLES = ("start_from", "encoder")
"""Settings that name an encoder: that of every run, and that of methods that ask a frozen one."""


@dataclass(frozen=True)
class EncoderRun:
    """The run behind an entry of kind `run`."""

    method: type[Method]
    resolved: Resolved
    key: str


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder as one run asks for it.

    Args:
        name: of its entry in params.yaml.
        fact: what the key and the row of the asking run hold of it.
        run: that makes it; None for an import.
        is_closed: whether the entry names all it needs, so that it means one encoder.
    """

    name: str
    fact: EncoderFact
    run: EncoderRun | None
    is_closed: bool

    @property
    def folder(self) -> Path:
        """Where its weights lie, or will."""
        published = encoders_folder(self.name)
        if self.run is None:
            return published
        return published if self.is_published else kept_weights_folder(self.run.key)

    @property
    def is_published(self) -> bool:
        """Whether the folder of the entry holds the weights of this very run."""
        card = artefact.read_card(encoders_folder(self.name)) if self.is_closed else None
        return card is not None and self.run is not None and card.run_key == self.run.key

    @property
    def exists(self) -> bool:
        """Whether its weights are there."""
        return artefact.read_card(self.folder) is not None

    def load(self) -> Encoder:
        """The encoder, on the CPU; raises LabError where it is missing or damaged."""
        return artefact.load(self.folder)


def named_encoders(settings: RunSettings, params: Params) -> dict[str, NamedEncoder]:
    """The encoders that a run names, by the setting that names them.

    Args:
        settings: of the run, after `prepare_encoder_inputs`.
        params: has the entries.

    Returns:
        Empty for a run that names none.

    Raises:
        LabError: for an unknown name, a faulty entry, or entries that need one another in a circle.
    """
    return _named_by(settings, params, ())


def find_encoder(name: str, settings: RunSettings, params: Params) -> NamedEncoder:
    """One encoder, as a run with these settings would ask for it."""
    return _find(name, settings, params, ())


def missing_encoders(settings: RunSettings, params: Params) -> dict[str, str]:
    """The encoders that would be trained for a run.

    Args:
        settings: of the run, after `prepare_encoder_inputs`.
        params: has the entries.

    Returns:
        Key of each run -> name of its entry, in the order in which they would be made.
    """
    found: dict[str, str] = {}
    for encoder in named_encoders(settings, params).values():
        if encoder.run is not None and not encoder.exists:
            found |= missing_encoders(encoder.run.resolved.settings, params)
            found[encoder.run.key] = encoder.name
    return found


def prepare_encoder_inputs(settings: RunSettings, params: Params) -> None:
    """Make ready what encoders are made from: data and labels of runs, and all imports.

    Args:
        settings: of the run that names them.
        params: has the entries.

    Raises:
        LabError: as `named_encoders`, and where something cannot be made.
    """
    for name in _names(settings).values():
        prepare_encoder_input(name, settings, params)


def prepare_encoder_input(
    name: str, settings: RunSettings, params: Params, path: tuple[str, ...] = ()
) -> None:
    """The same for one encoder; `path` are the encoders that ask for it, outermost first."""
    spec = encoder_spec(name, params.encoders)
    if isinstance(spec, RunEncoder):
        inner = _resolved(name, spec, settings, params, path)[1].settings
        prepare_data(inner.dataset, params)
        prepare_labels(inner.dataset, inner.noise, params)
        for other in _names(inner).values():
            prepare_encoder_input(other, inner, params, (*path, name))
    else:
        _import(name, spec)


def _names(settings: RunSettings) -> dict[str, str]:
    named = {role: getattr(settings, role, None) for role in ROLES}
    return {role: name for role, name in named.items() if name is not None}


def _named_by(
    settings: RunSettings, params: Params, path: tuple[str, ...]
) -> dict[str, NamedEncoder]:
    return {role: _find(name, settings, params, path) for role, name in _names(settings).items()}


def _find(name: str, settings: RunSettings, params: Params, path: tuple[str, ...]) -> NamedEncoder:
    spec = encoder_spec(name, params.encoders)
    if not isinstance(spec, RunEncoder):
        card = _import(name, spec)
        knows = frozenset[Knowledge]({"extra_features"} if card.external else ())
        return NamedEncoder(name, EncoderFact(card.identity, knows), None, is_closed=True)
    method, resolved = _resolved(name, spec, settings, params, path)
    inner = resolved.settings
    others = _named_by(inner, params, (*path, name))
    cards = Cards.read(inner.dataset, inner.noise)
    facts = {role: other.fact for role, other in others.items()}
    row = describe(method, resolved, cards, params, facts)
    run = EncoderRun(method, resolved, row["key"])
    knows = frozenset(row["knows"]) | _beyond(run, settings, params)
    return NamedEncoder(name, EncoderFact(run.key, knows), run, spec.is_closed)


def _resolved(
    name: str, spec: RunEncoder, settings: RunSettings, params: Params, path: tuple[str, ...]
) -> tuple[type[Method], Resolved]:
    if name in path:
        raise LabError(
            f"encoders need one another: {' -> '.join([*path, name])}",
            "entries that start from nothing in the end",
            "leave start_from out of one of them",
        )
    method = load_method(spec.method)
    # What params.yaml pins as a start is meant for runs, not for what they start from.
    usual = {key: v for key, v in pinned(method, params).items() if key not in ROLES}
    place = {key: getattr(settings, key) for key in ("dataset", "noise", "seed")}
    return method, resolve(method, usual | place | spec.explicit, params)


def _beyond(run: EncoderRun, settings: RunSettings, params: Params) -> frozenset[Knowledge]:
    """What an encoder knows that the asking run has not been given."""
    inner, found = run.resolved.settings, set[Knowledge]()
    if inner.dataset != settings.dataset:
        found.add("extra_features")
    kinds = [noise_spec(noise, params).kind for noise in (inner.noise, settings.noise)]
    # A method that is there to make encoders looks at no labels.
    if kinds[0] == "clean" != kinds[1] and not run.method.makes_encoder:
        found.add("clean_labels")
    return frozenset(found)


def _import(name: str, spec: ImportedSpec) -> EncoderCard:
    """The card of an import, made (again) unless it is what its entry and its file say."""
    folder, wanted = encoders_folder(name), import_settings(spec)
    card = artefact.read_card(folder)
    if (
        card is not None
        and card.settings.get("spec") == wanted["spec"]
        # A file that is gone, as on another machine, cannot have changed.
        and wanted["file_digest"] in {None, card.settings.get("file_digest")}
    ):
        return card
    imported = import_encoder(name, spec)
    artefact.save(folder, imported.card, imported.state)
    return imported.card
