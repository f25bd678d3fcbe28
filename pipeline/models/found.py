"""Finding a model: by the key of its run in the store, or by its folder wherever it was moved."""

from __future__ import annotations

from pathlib import Path

from pipeline.encoders.kept import kept_weights_folder
from pipeline.errors import LabError, quoted
from pipeline.models.card import ModelCard
from pipeline.models.kept import read_model_card
from pipeline.results.keys import resolved
from pipeline.results.store import Store


def find_model(name: str, store: Store) -> tuple[Path, ModelCard]:
    """A model that a run kept.

    Args:
        name: key of the run, or the beginning of it; or a folder that holds the model.
        store: of the run.

    Returns:
        Its folder, a copy where it lies in a bucket, and its card.

    Raises:
        LabError: where there is no such run, or it kept no model.
    """
    if Path(name).is_dir():
        folder, what = Path(name), f"folder {quoted(name)}"
    else:
        store.require()
        (key,) = resolved(store, [name])
        folder, what = kept_weights_folder(key, store.artefacts), f"run {key}"
    card = read_model_card(folder)
    if card is None:
        raise LabError(
            f"{what} holds no whole model",
            "a run with --keep-weights, or the folder that it left",
            "the command of the run once more with --keep-weights, which computes it again",
        )
    return folder, card
