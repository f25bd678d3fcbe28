"""What runs leave besides their rows, and what its objects are called.

checkpoints/KEY.pt   state of a run that has not ended
encoders/KEY/        weights that a run kept: its encoder and its model, with their cards
posteriors/KEY/      softmax outputs of its training pass
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.names import checked_name
from pipeline.storage.place import Place

CHECKPOINTS = "checkpoints"
MODEL_CARD = "model.json"
"""In the folder of kept weights, written last: what predicts for new images is whole."""


def checkpoint_name(key: str) -> str:
    """The checkpoint of a run."""
    return f"{CHECKPOINTS}/{key}.pt"


def weights_folder(key: str) -> str:
    """Folder of the weights that a run kept."""
    return f"encoders/{checked_name(key, 'run')}"


def posterior_folder(key: str) -> str:
    """Folder of the softmax outputs of a run."""
    return f"posteriors/{key}"


class Belongings(NamedTuple):
    """Where what a run left lies: paths or addresses, None where it left nothing of the kind."""

    checkpoint: str | None
    weights: str | None
    model: str | None
    """The card of what it predicts with, among the weights."""
    posterior: str | None


def belongings(place: Place, key: str) -> Belongings:
    """What a run left besides its rows.

    Args:
        place: of checkpoints, weights and softmax outputs.
        key: of the run.
    """

    def found(folder: str) -> str | None:
        return place.uri(folder) if place.entries(folder) else None

    checkpoint = checkpoint_name(key)
    return Belongings(
        place.uri(checkpoint) if place.head(checkpoint) else None,
        found(weights_folder(key)),
        kept_model(place, key),
        found(posterior_folder(key)),
    )


def kept_model(place: Place, key: str) -> str | None:
    """Where the card of the model that a run kept lies; None where it kept none.

    Args:
        place: as of `belongings`.
        key: of the run.
    """
    card = f"{weights_folder(key)}/{MODEL_CARD}"
    return place.uri(card) if place.head(card) else None


def remove_belongings(place: Place, key: str) -> None:
    """Remove all that a run left besides its rows; see `belongings`."""
    folders = (weights_folder(key), posterior_folder(key))
    names = [entry.name for folder in folders for entry in place.entries(folder)]
    # The card of weights, written last, goes first: nobody finds weights that are half gone.
    names.sort(key=lambda name: not name.endswith(".json"))
    for name in (*names, checkpoint_name(key)):
        place.delete([name])
