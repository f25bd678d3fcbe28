"""What passes between the host and the device of a run, so that neither waits for the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


@cache
def constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers [n] on a device, copied there once in a program; nothing may change them."""
    return torch.tensor(values, dtype=dtype, device=device)


def on_host(values: npt.NDArray[Any]) -> Tensor:
    """An array as a tensor that shares its memory and stays on the host."""
    return torch.from_numpy(values)


def sent(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    """An array on the device, by a copy for which the host does not wait.

    Args:
        values: of any shape; on a CPU the tensor shares their memory.
        device: where to.
    """
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        # The host goes on only where the system cannot move the memory that is copied.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def fetched(parts: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Tensors [n, ...] of one type on the host, for all of which it waits once.

    Args:
        parts: of equal shape but for n.
    """
    if not parts:
        return []
    whole, ends = torch.cat(tuple(parts)).cpu().numpy(), list(accumulate(map(len, parts)))
    return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
