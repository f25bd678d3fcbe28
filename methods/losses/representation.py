"""Losses on relations within a batch: between outputs and features, and between two views.

Definitions are those of "Mitigating Memorization of Noisy Labels via Regularization between
Representations" (RRR, arXiv 2110.09022) and its official code (snapshot 6f953a4). float64 and
float32 are computed as they come, half precision is raised to float32 and autocast is off: these
are differences of nearly equal numbers. With several processes, give the rows of all of them.
"""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from methods.losses.common import at_least_single, exact, require
from pipeline.errors import LabError, suggest

PairMean: TypeAlias = Literal["all", "offdiag"]

SQUARED_MIN = 1e-12
"""Squared distances of different rows are at least this."""
_ANGLE_ENTRIES = 2**22


def rkd_dis(
    logits: Tensor,
    features: Tensor,
    *,
    w_feature: float = 2,
    w_output: float = 1,
    pair_mean: PairMean = "all",
    detach_teacher: bool = False,
) -> Tensor:
    """Distances between softmax outputs should follow those between features (arXiv 2110.09022).

    Distances between rows of softmax(logits), raised to `w_output`, and distances between rows of
    features, raised to `w_feature`, are each divided by their mean over different rows, which
    passes a gradient as well; the loss is the mean Huber distance (threshold 1) of their entries.
    By default that is plain distances of outputs beside squared ones of features, with a gradient
    for both (official code). Squared distances are at least 1e-12; those of two equal rows are
    that or what the rounding of one matrix product leaves. Here rows are centred first, which the
    official code does not do: the same in exact arithmetic, more digits where rows are nearly
    equal. A batch of one has no pairs: 0, with zero gradient (the official code gives NaN).

    Args:
        logits: [B, K], before the softmax.
        features: [B, D], projections as they are: not normalised.
        w_feature: exponent of the distances between features, > 0.
        w_output: exponent of the distances between outputs, > 0.
        pair_mean: "all" divides the sum by B^2, counting the zero diagonal (official code),
            "offdiag" by B (B - 1), the number of pairs (paper).
        detach_teacher: whether the features get no gradient; they do in the official code.

    Returns:
        Scalar.

    Raises:
        LabError: for an exponent that is not positive, or shapes that do not belong together.
    """
    require(
        0 < w_feature < math.inf and 0 < w_output < math.inf,
        "w_feature > 0 and w_output > 0",
        w_feature=w_feature,
        w_output=w_output,
    )
    student, teacher = _rows(logits, features, detach_teacher)
    n = len(student)
    n_pairs = n * (n - 1)
    with exact(student):
        student = powers_of_distances(student.softmax(1), w_output)
        teacher = powers_of_distances(teacher, w_feature)
        if not n_pairs:
            return (student + teacher).sum()
        # Every entry off the diagonal is positive, so these are the means of the positive ones.
        student, teacher = (d / (d.sum() / n_pairs) for d in (student, teacher))
        total = functional.smooth_l1_loss(student, teacher, reduction="sum")
    if pair_mean == "all":
        return total / n**2
    if pair_mean == "offdiag":
        return total / n_pairs
    raise LabError(f"pair_mean = {pair_mean}", *suggest(pair_mean, ("all", "offdiag"), "all"))


def powers_of_distances(rows: Tensor, exponent: float) -> Tensor:
    """Pairwise Euclidean distances raised to an exponent, by one matrix product.

    Args:
        rows: [B, D], float32 or float64.
        exponent: > 0; 2 for squared distances.

    Returns:
        [B, B], max(squared distance, 1e-12)^(exponent / 2), zeros on the diagonal.
    """
    # Distances do not see a common offset, but rounding does.
    centred = rows - rows.detach().mean(0)
    lengths = centred.square().sum(1)
    squared = lengths[:, None] + lengths - 2 * centred @ centred.T
    powers = squared.clamp(min=SQUARED_MIN).pow(exponent / 2)
    return powers.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), 0)


def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean of -cos(predicted, target) over rows; the target gets no gradient (arXiv 2011.10566).

    Args:
        predicted: [B, D].
        target: [B, D].

    Returns:
        Scalar in [-1, 1].
    """
    rows = at_least_single(predicted), at_least_single(target.detach())
    with exact(predicted):
        return -functional.cosine_similarity(*rows, dim=1).mean()


def rkd_angle(logits: Tensor, features: Tensor, *, detach_teacher: bool = False) -> Tensor:
    """Angles in triplets of logits should follow those of features (arXiv 1904.05068).

    The angle at row k is <e_ik, e_jk>, with e_ik = (row_i - row_k) / max(length, 1e-12); the loss
    is the mean Huber distance (threshold 1) of the B^3 angles of logits (no softmax) and features.
    Equal rows have direction 0. Deviation from the official code: that direction passes no
    gradient here. There it passes one divided by 1e-12, which cancels at the row itself up to
    rounding, but not between two equal rows. The value is the same. The triplets are taken in
    blocks and computed again on the way back, so memory grows with B^2.

    Args:
        logits: [B, K].
        features: [B, D], as they are: not normalised.
        detach_teacher: whether the features get no gradient; they do in the official code.

    Returns:
        Scalar.

    Raises:
        LabError: for shapes that do not belong together.
    """
    student, teacher = _rows(logits, features, detach_teacher)
    n = len(student)
    block = max(1, _ANGLE_ENTRIES // (n * max(n, student.shape[1], teacher.shape[1])))
    total = student.new_zeros(())
    with exact(student):
        for start in range(0, n, block):
            vertices = slice(start, start + block)
            total = total + checkpoint(
                _angle_deviation, student, teacher, vertices,
                use_reentrant=False, preserve_rng_state=False,
            )  # fmt: skip
    return total / n**3


def _angle_deviation(student: Tensor, teacher: Tensor, vertices: slice) -> Tensor:
    expected = _angles(teacher, vertices)
    return functional.smooth_l1_loss(_angles(student, vertices), expected, reduction="sum")


def _angles(rows: Tensor, vertices: slice) -> Tensor:
    """Cosines at some of the rows between the directions to all: [block, B, B]."""
    differences = rows[None] - rows[vertices, None]
    # Without a path for gradients through zeros: they would be divided by 1e-12.
    different = (differences != 0).any(2, keepdim=True)
    directions = functional.normalize(differences.where(different, 0), dim=2, eps=1e-12)
    return directions @ directions.mT


def info_nce(a: Tensor, b: Tensor, *, temperature: float = 0.5, normalise: bool = True) -> Tensor:
    """InfoNCE of two views, also known as NT-Xent (SimCLR, arXiv 2002.05709).

    Cross entropy of finding, for each of the 2B rows, the other view of the same image among the
    2B - 1 other rows, by inner product / temperature; the mean over rows. B = 1 gives 0.

    Args:
        a: [B, D], embeddings of one view.
        b: [B, D], of the other view, in the same order.
        temperature: > 0.
        normalise: scale the rows to unit length first; without it they are taken as they are.

    Returns:
        Scalar.

    Raises:
        LabError: for a temperature that is not positive, or shapes that do not belong together.
    """
    require(0 < temperature < math.inf, "temperature > 0", temperature=temperature)
    fits = a.ndim == 2 and a.shape == b.shape and len(a) > 0
    require(fits, "a and b [B, D], B >= 1", a=list(a.shape), b=list(b.shape))
    with exact(a):
        rows = torch.cat(_alike(a, b))
        if normalise:
            rows = functional.normalize(rows, dim=1, eps=1e-12)
        similarity = rows @ rows.T / temperature
        itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        other_view = torch.arange(len(rows), device=rows.device).roll(len(a))
        return functional.cross_entropy(similarity.masked_fill(itself, -math.inf), other_view)


def _rows(logits: Tensor, features: Tensor, detach_teacher: bool) -> tuple[Tensor, Tensor]:
    """Student and teacher in one precision."""
    fits = logits.ndim == features.ndim == 2 and len(logits) == len(features) > 0
    shapes = {"logits": list(logits.shape), "features": list(features.shape)}
    require(fits, "logits [B, K] and features [B, D], B >= 1", **shapes)
    return _alike(logits, features.detach() if detach_teacher else features)


def _alike(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider precision of the two, float32 at least."""
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)
