"""Exact nearest neighbours by Euclidean distance, in blocks, with bounded memory.

Candidates come from |q|^2 - 2 q b + |b|^2 in float32, a matrix product; their distances are then
computed anew from differences in float64, and the best k are kept. A bound on the rounding of the
first step proves for each query that no other row can be nearer. Queries without that proof go
through the same search in float64, and what is left then (more equal rows than candidates, as with
many copies of one image) is compared directly. The result is that of comparing all pairs in
float64, ties going to the lower index, whatever the block size and the device. The plain way,
`torch.cdist` in float32 with a second look at k + 16 candidates, has no such proof: it loses
neighbours among many equal rows, and where rows are closer than float32 can tell.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.encoders.distances import exact_distances, full_precision, rounding_bound
from pipeline.errors import LabError

Rows: TypeAlias = Tensor | npt.NDArray[np.floating[Any]]
"""Features [N, D]; a memory-mapped array is read block by block."""

VERSION = 1
"""Raised when the same features would give other neighbours."""

N_SPARE = 16
"""Candidates beyond k; more of them make proofs likelier and the search a little slower."""

MAX_BYTES = 2**30
_SHIFT_ROWS = 1024


class Neighbours(NamedTuple):
    """The k nearest rows of each query, nearest first.

    Args:
        row: int64 [M, k], positions in the bank.
        distance: float64 [M, k], Euclidean.
    """

    row: Tensor
    distance: Tensor


class _Found(NamedTuple):
    neighbours: Neighbours
    proven: Tensor
    """bool [M]: no other row can be nearer, or as near with a lower index."""


def nearest(
    queries: Rows,
    bank: Rows,
    k: int,
    *,
    exclude_self: bool = False,
    max_bytes: int = MAX_BYTES,
    device: torch.device | str | None = None,
) -> Neighbours:
    """The k nearest rows of the bank for every query; see `NeighbourSearch`.

    Args:
        queries: floating [M, D], finite.
        bank: floating [N, D], finite.
        k: how many.
        exclude_self: query i is row i of the bank and is not its own neighbour. Equal rows are.
        max_bytes: working memory.
        device: where to compute; None for where the bank or else the queries lie, or the CPU.

    Returns:
        Rows and distances [M, k], on that device.

    Raises:
        LabError: for shapes, types or a k that do not fit, or values that are not finite.
    """
    if device is None and not isinstance(bank, Tensor) and isinstance(queries, Tensor):
        device = queries.device
    search = NeighbourSearch(bank, k, exclude_self=exclude_self, max_bytes=max_bytes, device=device)
    return search.nearest(queries)


def block_rows(n_features: int, k: int, max_bytes: int) -> tuple[int, int]:
    """Queries and bank rows taken at once, so that working memory stays within `max_bytes`.

    An eighth of it each goes to the queries, the bank rows, the distances between them, the lists
    of candidates (four arrays) and the features of candidates; the rest is for what passes. 16
    bytes per number allow for a float64 and a copy.
    """
    numbers = max_bytes // 8 // 16
    by_lists = numbers // (4 * (k + N_SPARE))
    n_queries = max(1, min(int((numbers / 2) ** 0.5), numbers // n_features, by_lists))
    return n_queries, max(1, min(numbers // n_queries, numbers // n_features))


class NeighbourSearch:
    """A search through one bank, for any number of calls: what depends on the bank alone is kept.

    Args:
        bank: floating [N, D], finite, not to be changed; float16, float32 and float64 are exact.
        k: how many neighbours, at least 1 and at most N, or N - 1 without the query itself.
        exclude_self: query i is row i of the bank and is not its own neighbour. Equal rows are.
        max_bytes: working memory beside the arguments, the result and a number per row of the bank.
            At least one row of each is taken at once.
        device: where to compute; None for where the bank lies, or the CPU.

    Raises:
        LabError: for shapes, types or a k that do not fit, or values that are not finite.
    """

    def __init__(
        self,
        bank: Rows,
        k: int,
        *,
        exclude_self: bool = False,
        max_bytes: int = MAX_BYTES,
        device: torch.device | str | None = None,
    ) -> None:
        _require_rows("bank", bank)
        most = len(bank) - exclude_self
        if not 1 <= k <= most:
            raise LabError(
                f"{k} neighbours in a bank of {len(bank)}", f"1 to {most}", f"k = {max(1, most)}"
            )
        here = bank.device if isinstance(bank, Tensor) else torch.device("cpu")
        self.bank, self.k, self.exclude_self = bank, k, exclude_self
        self.device = here if device is None else torch.device(device)
        self.n_queries, self.n_rows = block_rows(bank.shape[1], k, max_bytes)
        # Distances do not change when everything is shifted, but the numbers that are subtracted
        # from one another become smaller. Any shift does: the mean of a few rows is good enough.
        step = -(-len(bank) // _SHIFT_ROWS)
        self._shift = self._on(bank[::step], checked=False).double().mean(dim=0).float()
        self._sizes: dict[int, Tensor] = {}

    def nearest(self, queries: Rows) -> Neighbours:
        """Neighbours of queries, floating [M, D] and finite: [M, k], nearest first."""
        whole = _unfilled(len(queries), self.k, self.device)
        for rows, found in self.blocks(queries):
            _fill(whole, rows, found)
        return whole

    def blocks(self, queries: Rows) -> Iterator[tuple[slice, Neighbours]]:
        """As `nearest`, block by block: the queries of each block and their neighbours."""
        _require_rows("queries", queries)
        if queries.shape[1] != self.bank.shape[1] or not len(queries):
            raise LabError(
                f"queries {list(queries.shape)} for a bank {list(self.bank.shape)}",
                "at least one query, with as many features as the bank has",
                "features of one and the same encoder",
            )
        if self.exclude_self and len(queries) != len(self.bank):
            raise LabError(
                f"{len(queries)} queries that are rows of a bank of {len(self.bank)}",
                "with exclude_self, the bank itself as queries",
                "exclude_self=False",
            )
        for start in range(0, len(queries), self.n_queries):
            stop = min(start + self.n_queries, len(queries))
            yield slice(start, stop), self._run(queries[start:stop], start)

    @torch.no_grad()
    def _run(self, queries: Rows, first: int) -> Neighbours:
        """Neighbours of the queries, the first of which is query number `first` of all."""
        # Looked at together with the candidates, which costs a device no wait of its own.
        raw = self._on(queries, checked=True)
        own = torch.arange(first, first + len(raw), device=self.device)
        result = _unfilled(len(raw), self.k, self.device)
        left = torch.arange(len(raw), device=self.device)
        with full_precision(self.device):
            for dtype in (torch.float32, torch.float64):
                found = self._approximately(raw[left], own[left], dtype)
                _fill(result, left, found.neighbours)
                left = left[~found.proven]
                if not len(left):
                    return result
            for chunk in left.split(max(1, self.n_queries // 4)):
                _fill(result, chunk, self._directly(raw[chunk], own[chunk]))
        return result

    def _approximately(self, raw: Tensor, own: Tensor, dtype: torch.dtype) -> _Found:
        """Candidates by the matrix product in `dtype`, ranked exactly."""
        n_kept = min(self.k + N_SPARE, len(self.bank))
        query = self._shifted(raw, dtype)
        size = query.square().sum(dim=1)
        best = torch.empty(len(raw), 0, dtype=dtype, device=self.device)
        index = torch.empty(len(raw), 0, dtype=torch.int64, device=self.device)
        longest = torch.zeros((), dtype=dtype, device=self.device)
        for start in range(0, len(self.bank), self.n_rows):
            rows = self._shifted(self._load(start), dtype)
            sizes = self._squared_lengths(rows, start)
            longest = torch.maximum(longest, sizes.max())
            squares = torch.addmm(sizes, query, rows.T, alpha=-2)
            if self.exclude_self:
                self._hide_own(squares, own, start)
            near, at = squares.topk(min(n_kept, len(rows)), dim=1, largest=False, sorted=False)
            best, index = torch.cat([best, near], dim=1), torch.cat([index, at + start], dim=1)
            best, at = best.topk(min(n_kept, best.shape[1]), dim=1, largest=False)
            index = index.gather(1, at)
        error = rounding_bound(query.shape[1], size, longest)
        best = best.add_(size[:, None]).double()
        neighbours = self._rank(raw, own, index, best, error)
        # All rows left out have an approximate square of at least the largest that was kept.
        others = best[:, -1] - error
        proven = others > neighbours.distance[:, -1].square() * (1 + 1e-12)
        if n_kept == len(self.bank):
            proven = torch.ones_like(proven)
        return _Found(neighbours, proven)

    def _rank(
        self, raw: Tensor, own: Tensor, index: Tensor, best: Tensor, error: Tensor
    ) -> Neighbours:
        """The k nearest of the candidates, sorted by approximate squares, by exact distance."""
        # A candidate further than the k-th by more than both may be wrong cannot be among them.
        possible = (best <= best[:, self.k - 1 : self.k] + 2 * error[:, None]).sum(dim=1)
        finite, most = torch.stack([raw.isfinite().all().to(torch.int64), possible.max()]).tolist()
        if not finite:
            raise _not_finite()
        ranked = _unfilled(len(raw), self.k, self.device)
        n_at_once = max(1, self.n_rows // index.shape[1])
        for part in torch.arange(len(raw), device=self.device).split(n_at_once):
            at = index[part, : max(self.k, most)].sort(dim=1).values
            rows = self._rows(at).double()
            distance = exact_distances(raw[part].double()[:, None], rows)[:, 0]
            if self.exclude_self:
                distance.masked_fill_(at == own[part, None], torch.inf)
            near, order = distance.sort(dim=1, stable=True)
            nearest_first = Neighbours(at.gather(1, order)[:, : self.k], near[:, : self.k])
            _fill(ranked, part, nearest_first)
        return ranked

    def _directly(self, raw: Tensor, own: Tensor) -> Neighbours:
        """The k nearest by the exact distances to all rows."""
        best = torch.empty(len(raw), 0, dtype=torch.float64, device=self.device)
        index = torch.empty(len(raw), 0, dtype=torch.int64, device=self.device)
        for start in range(0, len(self.bank), self.n_rows):
            distance = exact_distances(raw.double(), self._load(start).double())
            if self.exclude_self:
                self._hide_own(distance, own, start)
            at = torch.arange(start, start + distance.shape[1], device=self.device)
            # Sorting is stable and rows come in order: of equal distances the lower index is first.
            best, order = torch.cat([best, distance], dim=1).sort(dim=1, stable=True)
            index = torch.cat([index, at.expand(len(raw), -1)], dim=1).gather(1, order)
            best, index = best[:, : self.k], index[:, : self.k]
        return Neighbours(index, best)

    def _load(self, start: int) -> Tensor:
        return self._on(self.bank[start : start + self.n_rows], checked=start in self._sizes)

    def _squared_lengths(self, rows: Tensor, start: int) -> Tensor:
        """Of shifted rows, from the first look on: those in float32 are kept."""
        if rows.dtype != torch.float32:
            return rows.square().sum(dim=1)
        if start not in self._sizes:
            self._sizes[start] = rows.square().sum(dim=1)
        return self._sizes[start]

    def _rows(self, index: Tensor) -> Tensor:
        if isinstance(self.bank, Tensor):
            return self.bank[index.to(self.bank.device)].to(self.device)
        return self._on(self.bank[index.cpu().numpy()], checked=True)

    def _on(self, rows: Rows, checked: bool) -> Tensor:
        """Rows on the device; mapped files are read here, and every number is looked at once."""
        tensor = rows if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows))
        tensor = tensor.to(self.device)
        if not checked and not tensor.isfinite().all():
            raise _not_finite()
        return tensor

    def _shifted(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        # In the wider of both types, so that the shift costs one rounding and no more.
        wide = torch.promote_types(rows.dtype, dtype)
        return (rows.to(wide) - self._shift.to(wide)).to(dtype)

    @staticmethod
    def _hide_own(values: Tensor, own: Tensor, start: int) -> None:
        here = ((own >= start) & (own < start + values.shape[1])).nonzero()[:, 0]
        values[here, own[here] - start] = torch.inf


def _not_finite() -> LabError:
    return LabError(
        "features hold values that are not finite",
        "finite numbers only",
        "an encoder whose weights and images give such features",
    )


def _unfilled(n: int, k: int, device: torch.device) -> Neighbours:
    row = torch.empty(n, k, dtype=torch.int64, device=device)
    return Neighbours(row, torch.empty_like(row, dtype=torch.float64))


def _fill(whole: Neighbours, at: slice | Tensor, part: Neighbours) -> None:
    whole.row[at], whole.distance[at] = part.row, part.distance


def _require_rows(name: str, rows: Rows) -> None:
    floating = (
        rows.is_floating_point()
        if isinstance(rows, Tensor)
        else np.issubdtype(rows.dtype, np.floating)
    )
    if rows.ndim != 2 or not floating:
        raise LabError(
            f"{name} of type {rows.dtype} {list(rows.shape)}",
            "floating [N, D]",
            "one row of features per image",
        )
