"""Views by name: how images are cropped, flipped and changed before a network sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pipeline.data.host import constant
from pipeline.data.images.operations import rectangles
from pipeline.data.images.policies import AutoAugment, Policy, disc, promix
from pipeline.data.randomness import sample_uniforms
from pipeline.identity import seed_stream

ViewName = Literal[
    "weak", "weak-reflect", "strong", "autoaugment-cutout", "weak-autoaugment",
    "weak-autoaugment-imagenet", "disc", "disc-cifar10", "promix",
]  # fmt: skip
"""Views that a method may offer in a setting of its own: `strong` is SimCLR's, the others are those
of `AUGMENTATIONS`."""


@dataclass(frozen=True)
class Augmentation:
    """Random crop and flip, as the settings of a run say, and what comes before and after them.

    Args:
        padding: what lies around the image where the crop reaches beyond it.
        before: operations on the image before it is cropped and flipped.
        after: operations afterwards.
        cutout: side of a square, as a share of the shorter side, that has the mean of all images in
            the end; 0 for none. It is smaller where it reaches beyond the image.
    """

    padding: Literal["zero", "reflect"] = "zero"
    before: Policy | None = None
    after: Policy | None = None
    cutout: float = 0.0

    @property
    def has_operations(self) -> bool:
        """Whether anything comes before or after crop and flip."""
        return self.before is not None or self.after is not None

    def without_square(self, x: Tensor, index: Tensor, seed: int) -> Tensor:
        """Normalised images [B, C, H, W] with 0 in the square, if there is one."""
        if not self.cutout:
            return x
        half = int(self.cutout * min(x.shape[2:])) // 2
        places = sample_uniforms(seed_stream(seed, "cutout"), index, 2)
        sides = constant(tuple(x.shape[2:]), torch.float32, x.device)
        centre = (places * sides).long()
        inside = rectangles(centre - half, centre + half - 1, x)
        # Of the two ways to fill, the one that keeps the order in memory.
        return x.clone().masked_fill_(inside, 0.0)


AUGMENTATIONS = {
    "weak": Augmentation(),
    "weak-reflect": Augmentation("reflect"),
    "autoaugment-cutout": Augmentation(before=AutoAugment(), cutout=0.5),
    "weak-autoaugment": Augmentation(after=AutoAugment()),
    "weak-autoaugment-imagenet": Augmentation(after=AutoAugment(of="imagenet")),
    "disc": Augmentation("reflect", after=disc(10)),
    "disc-cifar10": Augmentation("reflect", after=disc(5)),
    "promix": Augmentation(before=promix()),
}
"""Views of crop and flip, by name. Their sources: SOP and CORES2 (autoaugment-cutout), SSR (those
that end in autoaugment), DISC and ProMix."""
