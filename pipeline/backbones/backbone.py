"""What every network of the laboratory offers: features, and logits made of them."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from pipeline.errors import LabError


class Backbone(nn.Module):
    """An encoder with a classifier on its features.

    A subclass sets `n_features` and a last layer `linear` in its constructor, and implements
    `features`.
    """

    compiled_functions: ClassVar[tuple[str, ...]] = ("features",)
    """Names of what `--compile` compiles: functions of tensors [B, ...] that return one, which
    depend on nothing but them, the weights and the mode."""
    n_features: int
    """Length D of the features."""
    linear: nn.Module
    """The classifier."""
    classifier_names: tuple[str, ...] = ("linear",)
    """Names of the modules that turn features into logits; all others make up the encoder."""
    last_stage: tuple[str, ...] = ()
    """Names of the modules of the encoder that come last; none where it has no stages."""

    def features(self, x: Tensor) -> Tensor:
        """Features [B, D] of normalised images [B, C, H, W]."""
        raise TypeError(f"{type(self).__name__} lacks features(x)")

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, K] of features [B, D]."""
        return self.linear(features)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of normalised images [B, C, H, W]."""
        return self.classify(self.features(x))

    def in_classifier(self, name: str) -> bool:
        """Whether a parameter or buffer belongs to the classifier."""
        return any(name.startswith(f"{module}.") for module in self.classifier_names)


def check_size(x: Tensor, size: tuple[int, int], name: str) -> None:
    """Refuse images of another size than the only one that a network takes.

    Args:
        x: images [B, C, H, W].
        size: H and W in pixels.
        name: of the backbone.

    Raises:
        LabError: for another size.
    """
    height, width = x.shape[2:]
    if (height, width) != size:
        raise LabError(
            f"images of {height} x {width} pixels for {name}", f"{size[0]} x {size[1]}",
            "--backbone small-cnn",
        )  # fmt: skip
