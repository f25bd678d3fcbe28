"""How often a sample and its two nearest neighbours carry which labels.

Neighbours are sought within random parts of the samples, by cosine in float32 (the observations of
HOC, arXiv 2102.05291).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.errors import LabError, quoted, suggest
from pipeline.noise.arrays import Floats, Labels

Itself: TypeAlias = Literal["index", "nearest"]

MAX_CLASSES = 512
"""Triples take K^3 numbers: 1 GiB at this many classes."""

_SIMILARITIES_AT_ONCE = 2**25
_EXPECTED_IN_LIST = 8
"""Members of a part that the list of a sample holds on average; few then hold less than three."""
_SPARE = 16
"""Candidates beyond those sought, for the order among equally similar ones."""


class Moments(NamedTuple):
    """Frequencies of the labels of a sample, its nearest and its second nearest neighbour.

    Args:
        one: float64 [K].
        two: float64 [K, K].
        three: float64 [K, K, K].
    """

    one: Floats
    two: Floats
    three: Floats


def consensus(
    features: Floats | Tensor,
    y_noisy: Labels,
    n_classes: int,
    parts: Sequence[Labels],
    *,
    itself: Itself = "index",
    progress: bool = False,
) -> Moments:
    """Observed frequencies, averaged over parts of the samples.

    Args:
        features: floating [N, D], finite. Neighbours are those of largest cosine, in float32.
        y_noisy: int64 [N], in [0, K).
        n_classes: K.
        parts: int64 [n] each, n >= 3, different positions in [0, N), ascending; neighbours are
            sought within a part.
        itself: what is left out, as a sample is not its own neighbour: its row (index), or the row
            most similar to it, of equal ones the first, as in the official code (nearest).
        progress: show a bar on a terminal.

    Returns:
        The frequencies; each part counts the same.

    Raises:
        LabError: for sizes, labels or features that do not fit.
    """
    _check_labels(y_noisy, features, n_classes)
    if itself not in ("index", "nearest"):
        raise LabError(
            f"itself = {quoted(itself)}", *suggest(itself, ("index", "nearest"), "leave it out")
        )
    smallest = min(map(len, parts))
    if smallest < 3:
        raise LabError(
            f"parts of {smallest} samples",
            "at least 3: one and two neighbours",
            "give more labels",
        )
    triples = np.zeros(n_classes**3)
    neighbours = nearest_two(features, parts, itself=itself, progress=progress)
    for part, near in zip(parts, neighbours, strict=True):
        first, second = y_noisy[near].T
        codes = (y_noisy[part] * n_classes + first) * n_classes + second
        triples += np.bincount(codes, minlength=n_classes**3) / len(part)
    three = (triples / len(parts)).reshape(n_classes, n_classes, n_classes)
    return Moments(three.sum(axis=(1, 2)), three.sum(axis=2), three)


def nearest_two(
    features: Floats | Tensor,
    parts: Sequence[Labels],
    *,
    itself: Itself = "index",
    progress: bool = False,
) -> Iterator[Labels]:
    """The two nearest of each sample within each part, by cosine in float32.

    Where that is less work, the nearest of all samples are listed once: in each part, the nearest
    are then the first of the list that the part holds. Which of two samples comes first whose
    cosines differ by less than the rounding of float32 depends on the machine.

    Args:
        features: floating [N, D], finite.
        parts: int64 [n] each, as of `consensus`.
        itself: as of `consensus`.
        progress: show a bar on a terminal.

    Yields:
        Positions in [0, N), int64 [n, 2], the nearest first, part by part.

    Raises:
        LabError: for features that are no such table.
    """
    rows = _unit_rows(features)
    n, n_sought = len(rows), 2 if itself == "index" else 3
    n_queries = sum(map(len, parts))
    shared = n**2 < sum(len(part) ** 2 for part in parts)
    bar = tqdm(
        total=n if shared else n_queries,
        desc="neighbours",
        unit="sample",
        disable=None if progress else True,
    )
    with bar:
        if shared:
            expected = -(-_EXPECTED_IN_LIST * n // min(map(len, parts)))
            lists = _listed(rows, min(n, expected), itself, bar.update)
        for part in parts:
            if shared:
                near = _first_held(lists, part, rows, n_sought, itself)
            else:
                near = part[_listed(rows[torch.from_numpy(part)], n_sought, itself, bar.update)]
            yield near[:, -2:]


def _first_held(lists: Labels, part: Labels, rows: Tensor, n_sought: int, itself: Itself) -> Labels:
    """The first of each list that belong to the part; sought directly where they are too few."""
    belongs = np.zeros(len(rows), bool)
    belongs[part] = True
    held = belongs[lists[part]]
    too_few = np.flatnonzero(held.sum(axis=1) < n_sought)
    near = np.empty((len(part), n_sought), np.int64)
    each = np.arange(len(part))
    for column in range(n_sought):
        at = held.argmax(axis=1)
        near[:, column] = lists[part, at]
        held[each, at] = False
    if len(too_few):
        inside = rows[torch.from_numpy(part)]
        near[too_few] = part[_most_similar(inside, too_few, n_sought, itself)]
    return near


def _listed(rows: Tensor, k: int, itself: Itself, advance: Callable[[int], object]) -> Labels:
    """The k most similar rows of each row, in blocks: int64 [n, k]."""
    found = []
    for queries in np.array_split(
        np.arange(len(rows)), -(-(len(rows) ** 2) // _SIMILARITIES_AT_ONCE)
    ):
        found.append(_most_similar(rows, queries, k, itself))
        advance(len(queries))
    return np.concatenate(found)


def _most_similar(rows: Tensor, queries: Labels, k: int, itself: Itself) -> Labels:
    """The k rows most similar to some of them, of equally similar ones the first: int64 [m, k]."""
    own = torch.from_numpy(queries).to(rows.device)
    with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
        similarity = rows[own] @ rows.T
        if itself == "index":
            similarity[torch.arange(len(own), device=rows.device), own] = -torch.inf
        # The order of equal ones within `topk` is open, and so is which of them it leaves out.
        candidates = similarity.topk(min(k + _SPARE, len(rows)), dim=1, sorted=False).indices
        candidates = candidates.sort(dim=1).values
        best = similarity.gather(1, candidates).sort(dim=1, descending=True, stable=True).indices
    found: Labels = candidates.gather(1, best[:, :k]).cpu().numpy()
    return found


def _unit_rows(features: Floats | Tensor) -> Tensor:
    """Features scaled to length 1, float32; rows of zeros stay."""
    rows = features if isinstance(features, Tensor) else torch.from_numpy(np.array(features))
    rows = rows.detach().float()
    if rows.ndim != 2 or not bool(rows.isfinite().all()):
        raise LabError(
            f"features {list(rows.shape)}",
            "[N, D], finite numbers only",
            "compute the features anew",
        )
    return rows / rows.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)


def _check_labels(y_noisy: Labels, features: Floats | Tensor, n_classes: int) -> None:
    if y_noisy.ndim != 1 or len(features) != len(y_noisy):
        raise LabError(
            f"labels {list(y_noisy.shape)} for {len(features)} rows of features",
            "one label per row",
            "give the features of the labelled images alone",
        )
    if not 2 <= n_classes <= MAX_CLASSES:
        raise LabError(
            f"{n_classes} classes", f"2 to {MAX_CLASSES}", "estimate on fewer, coarser classes"
        )
    if y_noisy.min() < 0 or y_noisy.max() >= n_classes:
        raise LabError(
            f"labels from {y_noisy.min()} to {y_noisy.max()}",
            f"0 to {n_classes - 1}",
            "count classes from 0",
        )
