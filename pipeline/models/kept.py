"""A model on disk: model.safetensors and model.json in the folder of the weights that a run kept.

What it shares with the run's encoder lies in that encoder's files beside them. A frozen encoder
that it predicts with lies in a folder of its own below, so that the whole folder can be moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.config import RunSettings, validated
from pipeline.encoders.artefact import (
    load_encoder,
    read_card,
    read_encoder_card,
    read_weights,
    weights_digest,
    write_card,
    write_encoder,
    write_weights,
)
from pipeline.encoders.embeddings import VIEW
from pipeline.encoders.encoder import Encoder
from pipeline.errors import LabError
from pipeline.models.card import ModelCard
from pipeline.models.state import bare_method, model_state, restore, state_of_samples
from pipeline.storage.belongings import MODEL_CARD
from pipeline.training.loop import Session
from pipeline.training.method import Method, Problem

_WEIGHTS, _FROZEN = "model.safetensors", "frozen"


@dataclass(frozen=True, eq=False)
class Model:
    """A method that predicts, on its device and in evaluation mode.

    Args:
        card: what it is.
        method: with its weights.
        encoder: frozen, whose features it predicts from; None where it predicts from images alone.
    """

    card: ModelCard
    method: Method
    encoder: Encoder | None


def read_model_card(folder: Path) -> ModelCard | None:
    """The card of a model; None where there is no whole model."""
    card = read_card(folder / MODEL_CARD, ModelCard) if (folder / _WEIGHTS).is_file() else None
    if card is not None and card.shared_digest is not None:
        encoder = read_encoder_card(folder)
        if encoder is None or encoder.weights_digest != card.shared_digest:
            return None
    return card


def write_model(
    folder: Path, session: Session, key: str, problem: Problem, transform: str | None,
    digests: tuple[str, str], class_names: tuple[str, ...],
) -> None:  # fmt: skip
    """Write the model of a run at its end, beside its encoder.

    Args:
        folder: of the weights that the run keeps; its encoder, if it makes one, is there.
        session: at its end.
        key: of the run.
        problem: that its method was built for.
        transform: how its image files became views; None where they lie in one array.
        digests: of its data and of its labels.
        class_names: by number.
    """
    method, settings, last = session.method, session.settings, session.progress.records[-1]
    left_out = state_of_samples(method, bare_method(type(method), settings, problem))
    state = model_state(method, session.average, left_out)
    own = read_encoder_card(folder)
    frozen = problem.encoder if VIEW in method.predict_views else None
    card = ModelCard(
        run_key=key,
        method=method.name(),
        version=method.VERSION,
        variant=method.variant(settings),
        settings=settings.model_dump(mode="json"),
        class_names=class_names,
        image_shape=problem.image_shape,
        mean=problem.mean,
        std=problem.std,
        transform=transform,
        encoder=frozen.card.name if frozen else None,
        n_train=problem.n_train,
        n_test=len(session.test.index),
        test_accuracy=last["test_accuracy"],
        averaged_test_accuracy=last.get("averaged_test_accuracy"),
        data_digest=digests[0],
        labels_digest=digests[1],
        left_out=left_out,
        shared_digest=own.weights_digest if own else None,
        weights_digest=weights_digest(state),
    )
    if frozen is not None and frozen.card.has_network:
        (folder / _FROZEN).mkdir()
        write_encoder(folder / _FROZEN, frozen.card, frozen.state)
    write_weights(folder / _WEIGHTS, state)
    write_card(folder / MODEL_CARD, card)


def settings_of(card: ModelCard, kind: type[Method]) -> RunSettings:
    """The settings of a model's run; one that came later has the value that means no change.

    Args:
        card: of the model.
        kind: its method.
    """
    fields = kind.Settings.model_fields.items()
    marks = {name: field.json_schema_extra for name, field in fields}
    before = {
        name: known["as_before"]
        for name, known in marks.items()
        if isinstance(known, dict) and "as_before" in known
    }
    return validated(kind.Settings, before | card.settings, f"model {card.run_key}")


def load_model(
    folder: Path, card: ModelCard, kind: type[Method], device: torch.device, averaged: bool
) -> Model:
    """Load a model.

    Args:
        folder: that holds it.
        card: of the model.
        kind: its method.
        device: where to.
        averaged: whether it predicts by the averaged weights of its run.

    Returns:
        The model, in evaluation mode.

    Raises:
        LabError: when its files are damaged or do not fit the code, when it cannot be asked about
            new images, and when there are no averaged weights.
    """
    if averaged and card.averaged_test_accuracy is None:
        raise LabError(
            f"model {card.run_key} has no averaged weights",
            "a model of a run with the setting averaging",
            "leave --averaged out",
        )
    again = f"the run again with --keep-weights --force: {card.run_key}"
    encoder, n_classes = _frozen(folder, card), len(card.class_names)
    problem = Problem(n_classes, 1, card.image_shape, card.mean, card.std, encoder=encoder)
    method = bare_method(kind, settings_of(card, kind), problem)
    state = read_weights(folder / _WEIGHTS, card.weights_digest, again)
    shared = load_encoder(folder).state if card.shared_digest else {}
    restore(method, state, shared, card.left_out, averaged, device)
    return Model(card, method.eval(), encoder)


def _frozen(folder: Path, card: ModelCard) -> Encoder | None:
    if card.encoder is None:
        return None
    if read_encoder_card(folder / _FROZEN) is None:
        raise LabError(
            f"model {card.run_key} predicts from embeddings of encoder {card.encoder}, of which "
            "there was a table and no network",
            "an encoder that can embed new images",
            "a run with an encoder of kind run, timm, simclr or cc",
        )
    return load_encoder(folder / _FROZEN)
