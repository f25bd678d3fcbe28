"""Operations on images of which each has its own: those with the same one are changed in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.data.host import sent

Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def changed_in_turn(
    x: Tensor,
    kinds: Positions,
    numbers: Numbers,
    change: Callable[[int, Tensor, Tensor], Tensor],
    still: int,
) -> Tensor:
    """Images after several operations each, one after the other, which the host knows.

    Args:
        x: [B, ...], images.
        kinds: [T, B], which operation each image has in each of T >= 1 turns.
        numbers: [T, B, M], what the operations need to know.
        change: makes images of a kind [b, ...], which it may overwrite, and their numbers [b, M]
            into what they become.
        still: the kind that changes nothing.

    Returns:
        As `x`, in its order.
    """
    orders = kinds.argsort(axis=1, kind="stable")
    steps, back = _steps_between(orders)
    sorted_numbers = np.take_along_axis(numbers, orders[:, :, None], axis=1)
    rows = np.concatenate([steps[:, None], sorted_numbers.swapaxes(1, 2)], axis=1)
    # One copy for everything; float64 holds positions and float32, too.
    told = sent(np.append(rows, np.broadcast_to(back, rows[:1].shape), axis=0), x.device)
    exact = torch.float32 if numbers.dtype == np.float32 else torch.float64
    places, own = told[:, 0].long(), told[:-1, 1:].mT.to(exact)
    for turn, ordered in enumerate(np.take_along_axis(kinds, orders, axis=1)):
        x = x[places[turn]]
        for kind, here in _runs(ordered):
            if kind != still:
                before = x[here]
                after = change(kind, before, own[turn, here])
                if after is not before:
                    x[here] = after
    return x[places[-1]]


def _steps_between(orders: Positions) -> tuple[Positions, Positions]:
    """Positions that bring rows from each order to the next, and from the last to the first."""
    back = np.empty_like(orders)
    np.put_along_axis(back, orders, np.arange(orders.shape[1])[None], axis=1)
    steps = np.concatenate([orders[:1], np.take_along_axis(back[:-1], orders[1:], axis=1)])
    return steps, back[-1]


def _runs(kinds: Positions) -> Iterator[tuple[int, slice]]:
    """The kinds in an array where equal ones lie side by side, and where they lie."""
    borders = (np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist()
    for start, stop in pairwise([0, *borders, len(kinds)]):
        if start < stop:
            yield int(kinds[start]), slice(start, stop)
