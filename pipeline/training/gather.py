"""What the processes have of one step, joined: with gradient, whatever the size of a share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


class Gather:
    """Joins tensors of one step over the processes.

    A share may be empty: the last batch of an epoch can be smaller than the number of processes.
    Those left over go along with a sample that does not count.

    Args:
        counts: samples of each process in this step, those that count.
        rank: of this process.
        places: int64 [B], where the rows of this process are in the step of all; None where
            processes take turns.
    """

    def __init__(
        self, counts: tuple[int, ...], rank: int = 0, places: Tensor | None = None
    ) -> None:
        self._counts, self._rank, self._places = counts, rank, places

    def rows(self, values: Tensor) -> Tensor:
        """The rows of all processes, first those of the first one.

        Args:
            values: [B, ...], rows of this process.

        Returns:
            [B of all processes, ...]. Its gradient flows back to the process each row came from: a
            loss of the whole that every process computes alike gets the gradient, averaged over
            processes, that one process alone would compute.
        """
        if len(self._counts) == 1:
            return values
        return _Gathered.apply(values, self._counts, self._rank)

    def places(self, rows: Tensor) -> Tensor:
        """Where rows of this process [B, ...] are in the step of all processes: int64 [B].

        Processes take turns, as in `Processes.share`; what does not count comes after all others.
        Rows that were chosen keep the places that they had.
        """
        if self._places is not None:
            return self._places
        own = torch.arange(len(rows), device=rows.device)
        return own * len(self._counts) + self._rank

    def chosen(self, mask: Tensor) -> tuple[Tensor, Gather]:
        """Some of the rows, and what joins them.

        Args:
            mask: bool [B of all processes], the same on each, in the order of `rows`.

        Returns:
            int64 [b], positions among the rows of this process: those that are chosen, or, of
            several processes, the first one, which does not count, where none is; and what joins
            them. Their order over the processes is that of `rows`.
        """
        several = len(self._counts) > 1
        parts = mask.split(list(self._counts)) if several else (mask,)
        counts = tuple(int(part.sum()) for part in parts)
        mine = parts[self._rank]
        own = mine.nonzero()[:, 0]
        if several and not len(own):
            own = own.new_zeros(1)
        places = self.places(mine if len(mine) else mask[:1])
        return own, Gather(counts, self._rank, places[own])

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the samples of all processes, without gradient.

        Args:
            values: [B], one value per sample of this process.

        Returns:
            Scalar, the same on each process.
        """
        if len(self._counts) == 1:
            return values.detach().mean()
        total = values.detach()[: self._counts[self._rank]].sum()
        distributed.all_reduce(total)
        return total / sum(self._counts)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, counts: tuple[int, ...], rank: int) -> Tensor:
        ctx.counts, ctx.rank, ctx.n_given = counts, rank, len(values)
        own = counts[rank]
        # Collectives want equal shapes: shares are filled up to the largest one.
        padded = values.new_zeros((max(counts), *values.shape[1:]))
        padded[:own] = values[:own]
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        before, own = sum(ctx.counts[: ctx.rank]), ctx.counts[ctx.rank]
        mine = total.new_zeros((ctx.n_given, *total.shape[1:]))
        mine[:own] = total[before : before + own]
        return mine, None, None


ALONE = Gather((1,))
"""One process: everything is there already."""
