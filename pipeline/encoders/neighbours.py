"""Exact nearest neighbours by Euclidean distance, in blocks, with bounded memory.

Candidates come from |q|^2 - 2 q b + |b|^2 in float32, a matrix product; their distances are then
computed anew from differences in float64, and the best k are kept. A bound on the rounding of the
first step proves for each query that no other row can be nearer. Queries without that proof go
through the same search in float64, and what is left then (more equal rows than candidates, as with
many copies of one image) is compared directly. The result is that of comparing all pairs in
float64, ties going to the lower index, whatever the block size and the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

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
    """The k nearest rows of the bank for every query.

    Args:
        queries: floating [M, D], finite.
        bank: floating [N, D], finite; float16 and float32 are exact, float64 is as well.
        k: how many, at least 1 and at most N, or N - 1 without the query itself.
        exclude_self: query i is row i of the bank and is not its own neighbour. Equal rows are.
        max_bytes: working memory beside the arguments and the result. At least one row of each is
            taken at once.
        device: where to compute; None for where the bank or else the queries lie, or the CPU.

    Returns:
        Rows and distances [M, k], on that device.

    Raises:
        LabError: for shapes, types or a k that do not fit, or values that are not finite.
    """
    _check(queries, bank, k, exclude_self)
    on = _device(queries, bank, device)
    whole = _unfilled(len(queries), k, on)
    for rows, found in nearest_blocks(
        queries, bank, k, exclude_self=exclude_self, max_bytes=max_bytes, device=on
    ):
        _fill(whole, rows, found)
    return whole


def nearest_blocks(
    queries: Rows,
    bank: Rows,
    k: int,
    *,
    exclude_self: bool = False,
    max_bytes: int = MAX_BYTES,
    device: torch.device | str | None = None,
) -> Iterator[tuple[slice, Neighbours]]:
    """As `nearest`, block by block: the queries of each block and their neighbours."""
    _check(queries, bank, k, exclude_self)
    search = _Search(bank, k, exclude_self, _device(queries, bank, device), max_bytes)
    for start in range(0, len(queries), search.n_queries):
        stop = min(start + search.n_queries, len(queries))
        yield slice(start, stop), search.run(queries[start:stop], start)


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


class _Search:
    """A search through one bank; `run` takes a block of queries."""

    def __init__(
        self, bank: Rows, k: int, exclude_self: bool, device: torch.device, max_bytes: int
    ) -> None:
        self.bank, self.k, self.exclude_self, self.device = bank, k, exclude_self, device
        self.n_queries, self.n_rows = block_rows(bank.shape[1], k, max_bytes)
        # Distances do not change when everything is shifted, but the numbers that are subtracted
        # from one another become smaller. Any shift does: the mean of a few rows is good enough.
        step = -(-len(bank) // _SHIFT_ROWS)
        self.shift = _on(bank[::step], device).double().mean(dim=0).float()

    @torch.no_grad()
    def run(self, queries: Rows, first: int) -> Neighbours:
        """Neighbours of the queries, the first of which is query number `first` of all."""
        raw = _on(queries, self.device)
        own = torch.arange(first, first + len(raw), device=self.device)
        result = _unfilled(len(raw), self.k, self.device)
        left = torch.arange(len(raw), device=self.device)
        with _full_precision(self.device):
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
            sizes = rows.square().sum(dim=1)
            longest = torch.maximum(longest, sizes.max())
            squares = torch.addmm(sizes, query, rows.T, alpha=-2)
            if self.exclude_self:
                self._hide_own(squares, own, start)
            near, at = squares.topk(min(n_kept, len(rows)), dim=1, largest=False, sorted=False)
            best, index = torch.cat([best, near], dim=1), torch.cat([index, at + start], dim=1)
            best, at = best.topk(min(n_kept, best.shape[1]), dim=1, largest=False)
            index = index.gather(1, at)
        error = _rounding(query.shape[1], size, longest)
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
        ranked = _unfilled(len(raw), self.k, self.device)
        n_at_once = max(1, self.n_rows // index.shape[1])
        for part in torch.arange(len(raw), device=self.device).split(n_at_once):
            at = index[part, : max(self.k, int(possible[part].max()))].sort(dim=1).values
            rows = self._rows(at).double()
            distance = _distances(raw[part].double()[:, None], rows)[:, 0]
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
            distance = _distances(raw.double(), self._load(start).double())
            if self.exclude_self:
                self._hide_own(distance, own, start)
            at = torch.arange(start, start + distance.shape[1], device=self.device)
            # Sorting is stable and rows come in order: of equal distances the lower index is first.
            best, order = torch.cat([best, distance], dim=1).sort(dim=1, stable=True)
            index = torch.cat([index, at.expand(len(raw), -1)], dim=1).gather(1, order)
            best, index = best[:, : self.k], index[:, : self.k]
        return Neighbours(index, best)

    def _load(self, start: int) -> Tensor:
        return _on(self.bank[start : start + self.n_rows], self.device)

    def _rows(self, index: Tensor) -> Tensor:
        if isinstance(self.bank, Tensor):
            return self.bank[index.to(self.bank.device)].to(self.device)
        return _on(self.bank[index.cpu().numpy()], self.device)

    def _shifted(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        # In the wider of both types, so that the shift costs one rounding and no more.
        wide = torch.promote_types(rows.dtype, dtype)
        return (rows.to(wide) - self.shift.to(wide)).to(dtype)

    @staticmethod
    def _hide_own(values: Tensor, own: Tensor, start: int) -> None:
        here = ((own >= start) & (own < start + values.shape[1])).nonzero()[:, 0]
        values[here, own[here] - start] = torch.inf


def _unfilled(n: int, k: int, device: torch.device) -> Neighbours:
    row = torch.empty(n, k, dtype=torch.int64, device=device)
    return Neighbours(row, torch.empty_like(row, dtype=torch.float64))


def _fill(whole: Neighbours, at: slice | Tensor, part: Neighbours) -> None:
    whole.row[at], whole.distance[at] = part.row, part.distance


def _distances(queries: Tensor, rows: Tensor) -> Tensor:
    """Euclidean distances from differences: equal rows get equal numbers, wherever they stand."""
    return torch.cdist(queries, rows, compute_mode="donot_use_mm_for_euclid_dist")


def _rounding(n_features: int, size: Tensor, longest: Tensor) -> Tensor:
    """Bound on the error of the approximate squares of each query.

    A product of length D is off by at most D u |q| |b| with the unit roundoff u, in whatever order
    it is summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); shift, norms
    and sums add a few u (|q| + |b|)^2. Twice |q| |b| is at most half of that square.

    Args:
        n_features: D.
        size: [M], squared lengths of the queries; their type is that of the computation.
        longest: scalar, the largest squared length in the bank.
    """
    kind = torch.finfo(size.dtype)
    together = (size.double().sqrt() + longest.double().sqrt()).square()
    # Below the smallest normal number, rounding is absolute.
    return (n_features / 2 + 16) * (1.01 * kind.eps / 2 * together + 4 * kind.tiny)


def _on(rows: Rows, device: torch.device) -> Tensor:
    """Rows on the device; mapped files are read here, and every number is looked at."""
    tensor = rows if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows))
    tensor = tensor.to(device)
    if not tensor.isfinite().all():
        raise LabError("features hold values that are not finite", "finite numbers only")
    return tensor


def _device(queries: Rows, bank: Rows, given: torch.device | str | None) -> torch.device:
    if given is not None:
        return torch.device(given)
    for rows in (bank, queries):
        if isinstance(rows, Tensor):
            return rows.device
    return torch.device("cpu")


def _check(queries: Rows, bank: Rows, k: int, exclude_self: bool) -> None:
    for name, rows in (("queries", queries), ("bank", bank)):
        floating = (
            rows.is_floating_point()
            if isinstance(rows, Tensor)
            else np.issubdtype(rows.dtype, np.floating)
        )
        if rows.ndim != 2 or not floating:
            raise LabError(f"{name} of type {rows.dtype} {list(rows.shape)}", "floating [N, D]")
    if queries.shape[1] != bank.shape[1] or not len(queries):
        raise LabError(
            f"queries {list(queries.shape)} for a bank {list(bank.shape)}",
            "at least one query, with as many features as the bank has",
        )
    if exclude_self and len(queries) != len(bank):
        raise LabError(
            f"{len(queries)} queries that are rows of a bank of {len(bank)}",
            "with exclude_self, the bank itself as queries",
        )
    most = len(bank) - exclude_self
    if not 1 <= k <= most:
        raise LabError(f"{k} neighbours in a bank of {len(bank)}", f"1 to {most}")


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products in float32 proper: the error bound does not hold for shortened types."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
