"""The encoders that the settings of a run name: which they are, and what they know.

Settings name entries of the `encoders` block of params.yaml. An entry of kind `run` is itself a run
of a method, known by its key before it has run; it may name an encoder, too. Others are imported.
"""

from __future__ import annotations

from pipeline.config import RunSettings
from pipeline.encoders.artefact import read_encoder_card, save_encoder
from pipeline.encoders.encoder import EncoderCard
from pipeline.encoders.encoder_spec import ImportedSpec
from pipeline.encoders.importing import import_encoder, import_settings
from pipeline.files import encoders_folder
from pipeline.noise.label_table import LabelTable
from pipeline.runs.planned import NamedEncoder
from pipeline.training.context import Knowledge

ROLES = ("start_from", "encoder")
"""Settings that name an encoder: that of every run, and that of methods that query a frozen one."""


def named_by(settings: RunSettings) -> dict[str, str]:
    """The names of encoders in the settings of a run, by the setting that holds them."""
    named = {role: getattr(settings, role, None) for role in ROLES}
    return {role: name for role, name in named.items() if name is not None}


def knowledge_beyond(
    encoder: NamedEncoder, dataset: str, table: LabelTable
) -> frozenset[Knowledge]:
    """What an encoder knows that a run has not been given.

    Args:
        encoder: that the run names.
        dataset: that the run learns from.
        table: its label table.

    Returns:
        `extra_features` where it learned from other images; `clean_labels` where it learned from
        labels of which fewer are wrong, or nobody knows whether they are.
    """
    if encoder.run is None:
        return encoder.knows
    found = set(encoder.knows)
    if encoder.run.settings.dataset != dataset:
        found.add("extra_features")
    # A method that is there to make encoders looks at no labels.
    elif not encoder.run.method.makes_encoder and _is_cleaner(encoder.run.inputs.table, table):
        found.add("clean_labels")
    return frozenset(found)


def _is_cleaner(one: LabelTable, other: LabelTable) -> bool:
    """Whether fewer labels are wrong in one table than in another of the same images."""
    if one.card.labels_digest == other.card.labels_digest:
        return False
    rates = one.card.realised_rate, other.card.realised_rate
    return rates[0] is None or rates[1] is None or rates[0] < rates[1]


def imported_card(name: str, spec: ImportedSpec) -> EncoderCard:
    """The card of an import, made (again) unless it is what its entry and its file say."""
    folder, wanted = encoders_folder(name), import_settings(spec)
    card = read_encoder_card(folder)
    if (
        card is not None
        and card.settings.get("spec") == wanted["spec"]
        # A file that is gone, as on another machine, cannot have changed.
        and wanted["file_digest"] in {None, card.settings.get("file_digest")}
    ):
        return card
    imported = import_encoder(name, spec)
    save_encoder(folder, imported.card, imported.state)
    return imported.card
