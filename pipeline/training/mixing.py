"""Mixing of inputs and targets (mixup, FMix): draws that no number of processes changes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.data.host import sent
from pipeline.identity import seed_stream
from pipeline.training.method import Batch
from pipeline.training.streams import turns_of

_CPU = torch.device("cpu")


def beta_share(seed: int, alpha: float, at_least_half: bool = True) -> float:
    """The share of one mixing, drawn from Beta(alpha, alpha).

    Args:
        seed: of the draw, which is a pure function of it.
        alpha: above 0; small ones give shares near 0 and 1.
        at_least_half: max(l, 1 - l) of a draw l, so that a mixed row resembles its own more.

    Returns:
        In [0, 1].
    """
    drawn = float(np.random.Generator(np.random.PCG64(seed)).beta(alpha, alpha))
    return max(drawn, 1 - drawn) if at_least_half else drawn


def random_partners(seed: int, keys: Tensor) -> Tensor:
    """Which row each row is mixed with: a permutation that depends on the keys, not their order.

    Args:
        seed: of the draw.
        keys: int64 [n], one for each row, all different.

    Returns:
        int64 [n], positions in `keys`.
    """
    order = keys.argsort(stable=True)
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(len(keys))
    partners = torch.empty_like(order)
    partners[order] = order[sent(drawn, keys.device)]
    return partners


def mixed(rows: Tensor, partners: Tensor, share: float | Tensor) -> Tensor:
    """Rows at a share and partners at the rest: share rows + (1 - share) partners.

    Zhang et al.: mixup (ICLR 2018), equation 1.

    Args:
        rows: floating [B, ...]; images, or targets as probabilities [B, K].
        partners: of the same shape.
        share: of the rows, in [0, 1]; of each pixel, where it is a mask [H, W].
    """
    return share * rows + (1 - share) * partners


def low_frequency_mask(
    seed: int, height: int, width: int, share: float, decay: float = 3.0,
    device: torch.device = _CPU,
) -> Tensor:  # fmt: skip
    """A mask of few large patches: which pixels FMix takes from an image.

    The part above a threshold of a random field with Gaussian amplitudes that fall with a power of
    the frequency (Harris et al.: FMix, arXiv 2002.12047).

    Args:
        seed: of the draw, a pure function of it.
        height: of the images.
        width: of the images.
        share: of the pixels that are in the mask, in [0, 1]; rounded up or down by chance.
        decay: power of the frequency; large ones make large patches.
        device: where to.

    Returns:
        float32 [H, W] of zeros and ones.
    """
    draws = np.random.Generator(np.random.PCG64(seed))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    amplitudes = (
        draws.standard_normal((2, *frequency.shape))
        / np.maximum(frequency, 1 / max(height, width)) ** decay
    )
    field = np.fft.irfft2(amplitudes[0] + 1j * amplitudes[1], s=(height, width))
    n_taken = int(share * field.size)
    n_taken += int(draws.random() < share * field.size - n_taken)
    mask = np.zeros(field.size, dtype=np.float32)
    mask[field.ravel().argsort(kind="stable")[field.size - n_taken :]] = 1
    return sent(mask.reshape(height, width), device)


class Mixing:
    """One mixing of a step: the same share and partners for its inputs and its targets.

    A row may be mixed with one of another process. Pairs are drawn by what the rows are (their
    part of the step, their sample, and which of its turns in the step), so one process and several
    mix the same images.

    Args:
        seed: of the step (`Batch.seed`), or of one of several mixings in it, see `named`.
        alpha: of Beta(alpha, alpha), from which the share is drawn.
        parts: batches whose rows are mixed with one another; one occurs as often as it has views
            that are mixed.
        at_least_half: see `beta_share`.
    """

    def __init__(self, seed: int, alpha: float, *parts: Batch, at_least_half: bool = True) -> None:
        self.share = beta_share(seed_stream(seed, "share"), alpha, at_least_half)
        self._gathers = [part.gather for part in parts]
        places = [part.gather.places(part.index) for part in parts]
        rows = [
            torch.stack([torch.full_like(place, n), place, part.index], dim=1)
            for n, (part, place) in enumerate(zip(parts, places, strict=True))
        ]
        everyone = torch.cat(self._everywhere(rows))
        number, place, sample = everyone.T
        keys, turns = number * (sample.max() + 1) + sample, torch.empty_like(sample)
        # A stream may hold a sample several times in one step.
        order = place.argsort(stable=True)
        turns[order] = turns_of(keys[order])
        keys = keys * (turns.max() + 1) + turns
        self._of_all = random_partners(seed_stream(seed, "partners"), keys)
        # Rows of this process, found again among those of all.
        self._partners = [
            self._of_all[(everyone[None, :, :2] == own[:, None, :2]).all(2).int().argmax(1)]
            for own in rows
        ]

    @staticmethod
    def named(batch: Batch, name: str) -> int:
        """Seed of one of several mixings of a step."""
        return seed_stream(batch.seed, name)

    def _everywhere(self, rows: list[Tensor]) -> list[Tensor]:
        return [gather.rows(own) for gather, own in zip(self._gathers, rows, strict=True)]

    def __call__(self, *rows: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Mix what belongs to the parts.

        Args:
            rows: floating [B, ...], one for each part, all with the same row shape.
            mask: [H, W] in [0, 1], by which pixels are mixed instead of by the share.

        Returns:
            The rows of this process, mixed, for each part.
        """
        everyone = torch.cat(self._everywhere(list(rows)))
        share = self.share if mask is None else mask.to(everyone)
        return [
            mixed(own, everyone[partners], share)
            for own, partners in zip(rows, self._partners, strict=True)
        ]

    def of_all(self, rows: Tensor) -> Tensor:
        """Mix rows that are joined over the processes and the parts already, [n, ...] of all."""
        return mixed(rows, rows[self._of_all], self.share)
