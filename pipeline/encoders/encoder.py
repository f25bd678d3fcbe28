"""A frozen feature extractor: a network, what its input must look like, and a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.backbones import Backbone, make_backbone
from pipeline.errors import LabError, quoted
from pipeline.identity import digest

NO_NETWORK = "none"
"""What the card of given embeddings says in place of the network that made them."""
Part = Literal["encoder", "projection", "classifier"]
"""Parts of a set of weights: the network up to its features, and what may follow them."""


def misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> set[str]:
    """Names of weights that only one side has, or that differ in shape or kind of number.

    Args:
        own: weights of a network.
        given: weights that it should take.
    """
    both = set(own) & set(given)
    return (set(own) ^ set(given)) | {
        name
        for name in both
        if own[name].shape != given[name].shape
        or own[name].is_floating_point() != given[name].is_floating_point()
    }


@dataclass(frozen=True)
class EncoderCard:
    """What is known about an encoder without loading its weights.

    Args:
        name: name of the entry in params.yaml.
        kind: how it came about: run, timm, simclr, cc or embeddings.
        network: name of the backbone that takes the weights; NO_NETWORK for given embeddings.
        n_features: length D of its features.
        mean: per channel, subtracted from pixels / 255.
        std: per channel, divided by.
        image_size: side in pixels that images are brought to first; None for as they are.
        unit_length: whether features are scaled to length 1.
        external: whether it was trained on images beyond those of the data set.
        weights_digest: digest over names and values of the weights.
        antialias: whether the bicubic resize has the kernel that PIL has (a = -0.5, widened when
            images get smaller) or that of tensors (a = -0.75), which old torchvision versions use.
        projected: whether features are the output of the linear layer `projection`.
        run_key: key of the run that trained it here, if one did.
        data_digest: digest of the data set it was trained on, where known.
        settings: with which it was made.
    """

    name: str
    kind: str
    network: str
    n_features: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int | None
    unit_length: bool
    external: bool
    weights_digest: str
    antialias: bool = True
    projected: bool = False
    run_key: str | None = None
    data_digest: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def has_network(self) -> bool:
        """Whether it can be asked for the features of any image, or only has those it was given."""
        return self.network != NO_NETWORK

    @property
    def transform(self) -> dict[str, Any]:
        """How images become features, apart from the weights."""
        names = ("network", "mean", "std", "image_size", "unit_length", "antialias", "projected")
        return {name: getattr(self, name) for name in names}

    @property
    def identity(self) -> str:
        """What stands for the encoder in the keys of runs.

        That is the key of the run that trained it, which is known before it has run, or a digest
        of its weights and of how they are used.
        """
        return self.run_key or digest({"weights": self.weights_digest, **self.transform})


class Encoder(nn.Module):
    """An encoder in evaluation mode, without gradients for its weights.

    Args:
        card: its description.
        state: its weights, named encoder.*, projection.* and classifier.*; of given embeddings the
            table [N, D] of each split, by its name.

    Raises:
        LabError: when the weights do not fit the network that the card names.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, card: EncoderCard, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.card, self.state = card, dict(state)
        self.backbone = self._backbone() if card.has_network else None
        self.projection = self._projection() if card.projected else None
        for name in ("mean", "std"):
            values = torch.tensor(getattr(card, name))[:, None, None]
            self.register_buffer(name, values, persistent=False)
        self.requires_grad_(False)
        self.eval()

    def _backbone(self) -> Backbone:
        card, given = self.card, self.part("encoder")
        backbone = make_backbone(card.network, n_classes=1, n_channels=len(card.mean))
        own = {
            name: value
            for name, value in backbone.state_dict().items()
            if not backbone.in_classifier(name)
        }
        wrong = misfits(own, given)
        if wrong:
            raise LabError(
                f"encoder {card.name}: {len(wrong)} weights, such as {quoted(min(wrong))}, do not "
                f"fit the network {card.network}",
                f"exactly the weights of {card.network}",
                "the network that the checkpoint was trained with, in its entry under encoders",
            )
        backbone.load_state_dict(given, strict=False)
        return backbone

    def _projection(self) -> nn.Linear:
        given = self.part("projection")
        n_out, n_in = given["weight"].shape
        layer = nn.Linear(n_in, n_out, bias="bias" in given)
        layer.load_state_dict(given)
        return layer

    def part(self, part: Part) -> dict[str, Tensor]:
        """Weights of one part, named as in the module they belong to; empty if there are none."""
        return {
            name.removeprefix(f"{part}."): value
            for name, value in self.state.items()
            if name.startswith(f"{part}.")
        }

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, whatever the module that holds it does."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: float32 [B, C, H, W], pixels in [0, 1]; grey ones go to a network for colours as
                three equal channels.

        Returns:
            float32 [B, D].

        Raises:
            LabError: for colour images and a network for grey ones, or where there is no network.
        """
        if self.backbone is None:
            raise LabError(
                f"encoder {self.card.name} is a table of embeddings without a network: it cannot "
                "embed augmented images",
                "methods and settings that take the embedding of the plain image from the table",
                "--query cached",
            )
        x = (self._fitted(images) - self.mean) / self.std
        features = self.backbone.features(x)
        if self.projection is not None:
            features = self.projection(features)
        features = features.float()
        return functional.normalize(features, dim=1) if self.card.unit_length else features

    def _fitted(self, images: Tensor) -> Tensor:
        """Images in the number of channels and of pixels that the network was made for."""
        n_channels = len(self.card.mean)
        if images.shape[1] == 1:
            images = images.expand(-1, n_channels, -1, -1)
        elif images.shape[1] != n_channels:
            raise LabError(
                f"images of {images.shape[1]} channels for encoder {self.card.name}",
                f"images of {n_channels} channel(s)",
                "an encoder for colour images",
            )
        size = self.card.image_size
        height, width = images.shape[2:]
        if size is None or height == width == size:
            return images
        # The shorter side becomes `size`, then the centre is cut out. Values may overshoot [0, 1].
        new_height = max(size, round(height * size / min(height, width)))
        new_width = max(size, round(width * size / min(height, width)))
        images = functional.interpolate(
            images, (new_height, new_width), mode="bicubic", antialias=self.card.antialias
        )
        top, left = (new_height - size) // 2, (new_width - size) // 2
        return images[:, :, top : top + size, left : left + size]
