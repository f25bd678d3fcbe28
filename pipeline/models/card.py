"""The card of a model: what it is, and how an image becomes what it predicts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelCard:
    """What a model is, apart from its weights.

    Args:
        run_key: key of the run that trained it.
        method: its method, by name.
        version: of the method.
        variant: of the method, such as the loss.
        settings: of the run, all of them.
        class_names: names of the classes, by number.
        image_shape: (height, width, channels) of what the networks see.
        mean: per channel, subtracted from pixels / 255.
        std: per channel, divided by.
        transform: how image files become that; None for: the shorter side resized, the centre cut
            out.
        encoder: name of the frozen encoder whose features it predicts from, if it does.
        n_train: training samples.
        n_test: test images.
        test_accuracy: of the last epoch, a fraction.
        averaged_test_accuracy: of the averaged weights, where the model has them, too.
        data_digest: of the data set it learned from.
        labels_digest: of the labels it learned from.
        left_out: tensors of the method that belong to single training samples, not kept.
        shared_digest: digest of the weights that it shares with the encoder in the same folder.
        weights_digest: digest over names and values of its further tensors.
    """

    run_key: str
    method: str
    version: int
    variant: str
    settings: dict[str, Any]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    transform: str | None
    encoder: str | None
    n_train: int
    n_test: int
    test_accuracy: float
    averaged_test_accuracy: float | None
    data_digest: str
    labels_digest: str
    left_out: tuple[str, ...]
    shared_digest: str | None
    weights_digest: str
