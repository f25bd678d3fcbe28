"""A frozen feature extractor: a network, what its input must look like, and a card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class EncoderCard:
    """What is known about an encoder without loading its weights.

    Args:
        name: name of the entry in params.yaml.
        kind: how it came about: run, timm, simclr or cc.
        network: name of the network that takes the weights.
        n_features: length D of its features.
        mean: per channel, subtracted from pixels / 255.
        std: per channel, divided by.
        image_size: side in pixels that images are brought to first; None for as they are.
        unit_length: whether features are scaled to length 1.
        external: whether it was trained on images beyond those of the data set.
        weights_digest: digest over names and values of the weights.
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
    run_key: str | None = None
    data_digest: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What stands for the encoder in the keys of runs.

        That is the key of the run that trained it, which is known before it has run, or the digest
        of its weights.
        """
        return self.run_key or self.weights_digest


class Encoder(nn.Module):
    """An encoder in evaluation mode, without gradients for its weights.

    Args:
        card: its description.
        network: maps prepared images [B, C, S, S] to features [B, D].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, card: EncoderCard, network: nn.Module) -> None:
        super().__init__()
        self.card, self.network = card, network.eval().requires_grad_(False)
