"""What the processes have of one step, joined: with gradient, whatever the size of a share."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed

from pipeline.data.host import fetched, sent


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

    def chosen(self, mask: Tensor) -> Chosen:
        """Some of the rows, and what joins them; the host waits for the mask.

        Args:
            mask: bool [B of all processes], the same on each, in the order of `rows`.
        """
        several = len(self._counts) > 1
        (known,) = fetched([mask])
        ends = list(accumulate(self._counts)) if several else [len(known)]
        parts = [known[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        counts = tuple(int(part.sum()) for part in parts)
        mine = parts[self._rank]
        own = mine.nonzero()[0]
        if several and not len(own):
            own = np.zeros(1, np.int64)
        everyone = known.nonzero()[0]
        told = sent(np.concatenate([own, everyone]), mask.device)
        rows, of_all = told[: len(own)], told[len(own) :]
        places = self.places(mask[: max(len(mine), 1)])
        return Chosen(rows, of_all, Gather(counts, self._rank, places[rows]))

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


class Chosen(NamedTuple):
    """Rows of a step that a mask chooses."""

    own: Tensor
    """int64 [b], positions among the rows of this process: those that are chosen, or, of several
    processes, the first one, which does not count, where none is."""
    everyone: Tensor
    """int64 [b of all processes], positions in what `Gather.rows` gives."""
    gather: Gather
    """What joins them; their order over the processes is that of `Gather.rows`."""


ALONE = Gather((1,))
"""One process: everything is there already."""
