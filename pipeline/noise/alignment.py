"""Whether labels, posteriors and features belong to these samples in this order.

Values in the wrong order look plausible one by one; only their agreement with the clean labels
betrays them: it falls to chance.
"""

import numpy as np

from pipeline.errors import LabError
from pipeline.noise.arrays import Floats, Labels

SIGMAS = 6.0
"""Agreement must exceed chance by this many standard deviations: false alarms of 1e-9."""
_SHIFTS = (-2, -1, 1, 2)


def above_chance(clean: Labels, other: Labels, n_classes: int) -> bool:
    """Whether labels agree with the clean ones far more often than in a random order.

    Args:
        clean: int64 [n].
        other: int64 [n].
        n_classes: K.

    Returns:
        True if agreement exceeds that of a random pairing by `SIGMAS` standard deviations.
    """
    n = len(clean)
    if n == 0:
        return False
    shares = [np.bincount(y, minlength=n_classes)[:n_classes] / n for y in (clean, other)]
    chance = float(shares[0] @ shares[1])
    sigma = np.sqrt(max(chance * (1.0 - chance), 1.0 / n) / n)
    return bool(np.mean(clean == other) > chance + SIGMAS * sigma)


def check_labels(clean: Labels, noisy: Labels, n_classes: int, what: str) -> None:
    """Refuse labels that are not in the order of the clean ones, naming the likely reason.

    Args:
        clean: int64 [N], all clean labels.
        noisy: int64 [n], labels of the first n samples.
        n_classes: K.
        what: where the labels come from, for the error.

    Raises:
        LabError: for a wrong length, labels out of range, or agreement at the level of chance.
    """
    if not 0 < len(noisy) <= len(clean):
        raise LabError(
            f"{what} holds {len(noisy)} labels",
            f"1 to {len(clean)} labels, for the first training samples in order",
            "take the file of this data set",
        )
    head = clean[: len(noisy)]
    low, high = int(noisy.min()), int(noisy.max())
    if low < 0 or high >= n_classes:
        one_based = low >= 1 and high == n_classes and above_chance(head, noisy - 1, n_classes)
        hint = (
            "they count from 1: subtract 1 from every label"
            if one_based
            else "take the file of this data set"
        )
        raise LabError(
            f"{what} holds labels from {low} to {high}", f"labels from 0 to {n_classes - 1}", hint
        )
    if above_chance(head, noisy, n_classes):
        return
    raise LabError(
        f"{what} agrees with the clean labels in {np.mean(head == noisy):.1%}, no more "
        "than by chance",
        "labels in the order of the training images",
        _explain(clean, noisy, n_classes),
    )


def _explain(clean: Labels, noisy: Labels, n_classes: int) -> str:
    n = len(noisy)
    for shift in _SHIFTS:
        ours = clean[max(0, -shift) : n - max(0, shift)]
        theirs = noisy[max(0, shift) : n + min(0, shift)]
        if above_chance(ours, theirs, n_classes):
            where = "late" if shift > 0 else "early"
            return f"the labels come {abs(shift)} position(s) too {where}: shift them back"
    for offset in (1, -1):
        if above_chance(clean[:n], (noisy - offset) % n_classes, n_classes):
            return f"class ids are shifted by {offset:+d}: subtract {offset} (mod {n_classes})"
    if above_chance(clean[:n], noisy[::-1], n_classes):
        return "the order is reversed"
    return "find out the order of the file; TensorFlow's and PyTorch's CIFAR orders differ"


def check_posterior(clean: Labels, posterior: Floats, n_classes: int, what: str) -> None:
    """Refuse a posterior that is no posterior, or belongs to other images or another order.

    Args:
        clean: int64 [N], all clean labels.
        posterior: float [n, K], for the first n samples.
        n_classes: K.
        what: where it comes from, for the error.

    Raises:
        LabError: for a wrong length, rows that are no distributions, or a best class that agrees
            with the clean labels no more than by chance.
    """
    if not 0 < len(posterior) <= len(clean):
        raise LabError(
            f"{what} has {len(posterior)} rows",
            f"1 to {len(clean)} rows, for the first training samples in order",
        )
    if posterior.min() < 0 or not np.allclose(posterior.sum(axis=1), 1.0, atol=1e-3):
        raise LabError(
            f"{what} has rows that are negative somewhere or do not sum to one",
            "softmax outputs",
            "store probabilities, not logits",
        )
    if not above_chance(clean[: len(posterior)], posterior.argmax(axis=1), n_classes):
        raise LabError(
            f"{what} predicts the clean labels no better than chance",
            "outputs for these images in this order",
            "compute them on this data set",
        )


def check_features(clean: Labels, features: Floats, n_classes: int, what: str) -> None:
    """Refuse features of other images: the nearest class mean must tell classes apart at all.

    Args:
        clean: int64 [N].
        features: float [N, D].
        n_classes: K.
        what: where they come from, for the error.

    Raises:
        LabError: for a wrong length, or a nearest class mean (fitted on even rows, tried on odd
            ones) that agrees with the clean labels no more than by chance.
    """
    if len(features) != len(clean):
        raise LabError(
            f"{what} has {len(features)} rows",
            f"{len(clean)}, one per training image",
            "compute the features on this data set",
        )
    one_hot = np.eye(n_classes, dtype=np.float32)[clean[::2]]
    centres = one_hot.T @ features[::2] / np.maximum(one_hot.sum(axis=0), 1)[:, None]
    nearest = (features[1::2] @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
    if not above_chance(clean[1::2], nearest, n_classes):
        raise LabError(
            f"{what} tells the classes apart no better than chance",
            "features of these images in this order",
            "compute the features on this data set",
        )
