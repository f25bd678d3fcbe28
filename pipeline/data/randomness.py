"""Random numbers that belong to a sample, not to the moment at which a process draws them."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Multipliers and shifts of the SplitMix64 finaliser (Steele, Lea, Flood 2014) as signed 64-bit.
_GOLDEN = -7046029254386353131
_MIX_1 = -4658895280553007687
_MIX_2 = -7723592293110705685

Integers = TypeVar("Integers", Tensor, npt.NDArray[np.int64])


def _shift_right(value: Integers, bits: int) -> Integers:
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix(value: Integers) -> Integers:
    value = (value ^ _shift_right(value, 30)) * _MIX_1
    value = (value ^ _shift_right(value, 27)) * _MIX_2
    return value ^ _shift_right(value, 31)


def sample_uniforms(seed: int, index: Tensor, n: int) -> Tensor:
    """`n` uniform numbers per sample, a pure function of (seed, index, position).

    The same sample gets the same numbers on one process or many, before or after a resume.

    Args:
        seed: any integer below 2^63; derive it with `identity.seed_stream(..., epoch)`.
        index: int64 [B], positions of the samples.
        n: numbers per sample.

    Returns:
        float32 [B, n] in [0, 1), on the device of `index`.
    """
    state = _mix(index * _GOLDEN + seed)
    counter = torch.arange(1, n + 1, device=index.device)
    bits = _mix(state[:, None] + counter * _GOLDEN)
    return _shift_right(bits, 40).to(torch.float32) * 2.0**-24


def sample_uniforms_on_host(
    seed: int, index: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.float32]:
    """The numbers of `sample_uniforms` as an array: what is decided by them asks no device."""
    state = _mix(index * _GOLDEN + seed)
    bits = _mix(state[:, None] + np.arange(1, n + 1) * _GOLDEN)
    return _shift_right(bits, 40).astype(np.float32) * np.float32(2.0**-24)


def sample_normals(seed: int, index: Tensor, n: int) -> Tensor:
    """`n` standard normal numbers per sample, a pure function of (seed, index, position).

    The inverse of the normal distribution function at the uniforms of the same seed, each moved to
    the middle of its step of 2^-24: symmetric around 0, no larger than 5.5.

    Args:
        seed: any integer below 2^63; derive it with `identity.seed_stream(..., epoch)`.
        index: int64 [B], positions of the samples.
        n: numbers per sample.

    Returns:
        float32 [B, n], on the device of `index`.
    """
    middle = sample_uniforms(seed, index, n).double() + 2.0**-25
    normals: Tensor = torch.special.ndtri(middle)
    return normals.to(torch.float32)


def epoch_order(seed: int, n: int) -> Tensor:
    """The order in which an epoch visits its `n` samples: int64 [n], the same on every process."""
    return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).permutation(n))
