"""Labels in another order are refused and the reason named; genuine ones never are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.noise.agreement import (
    BY_CHANCE,
    against_chance,
    displaced_rows,
    offset_of,
    other_class_order,
    reversed_order,
    shortest_visible,
)
from pipeline.noise.alignment import Rows, check_features, check_labels, check_posterior
from pipeline.noise.arrays import Labels
from pipeline.noise.models import class_maps, transitions
from tests.support.noise_cases import balanced, softmax_rows

N, K = 2000, 10
CLEAN = balanced(N, K)
NOISY = transitions.draw(CLEAN, transitions.symmetric(0.4, K), 0)
RNG = np.random.default_rng


def _check(labels: Any, clean: Labels = CLEAN, n_classes: int = K, **rows: Any) -> str:
    return check_labels(clean, np.asarray(labels), n_classes, Rows("the file", **rows))


def _shuffled(labels: Labels, start: int, end: int) -> Labels:
    mixed = labels.copy()
    mixed[start:end] = RNG(0).permutation(labels[start:end])
    return mixed


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.concatenate([NOISY, NOISY]), "4000 labels; expected: 1 to 2000 labels"),
        (NOISY[:0], "holds 0 labels"),
        (np.concatenate([[0], NOISY]), "the header that pandas writes"),
        (NOISY + 1, "they count from 1"),
        (NOISY - 1, "labels from -1 to 8 .*where -1 stands for an image without a label"),
        (np.where(NOISY == 0, 12, NOISY), "labels from 1 to 12"),
        (np.roll(NOISY, 1), "come 1 position.s. too late"),
        (np.roll(NOISY, -2), "come 2 position.s. too early"),
        (np.roll(NOISY, 700), "come 700 position.s. too late"),
        ((NOISY + 1) % K, r"class ids are shifted by \+1"),
        (9 - NOISY, "the classes from last to first"),
        (NOISY[::-1], "reversed order"),
        (RNG(0).permutation(NOISY), "find out the order"),
        (np.delete(NOISY, 700), "at row (69|70).: .* find the row that was lost near row (69|70)."),
        (np.insert(NOISY, 700, 3)[:N], "at row (69|70).: .* the row that is doubled near"),
        (np.delete(NOISY, range(700, 730)), "they belong 30 positions further on"),
        (
            np.concatenate([NOISY[:500], NOISY[1000:], NOISY[500:1000]]),
            "at row (49|50).: .* they belong 500 positions further on",
        ),
        (np.concatenate([NOISY[:900], np.sort(NOISY[900:])]), "at row (89|90)."),
        (_shuffled(NOISY, 600, 800), "at row (59|60).: to row (79|80)."),
        (_shuffled(NOISY, 100, N), "at row (9|10)..?: to row 199"),
        (np.array([0, 1, 2, 5, 4, 3, 6, 7, 8, 9])[NOISY], "2 classes in another order"),
        (
            np.where((CLEAN == 3) | (CLEAN == 5), np.array([5, 3])[(NOISY == 5) * 1], NOISY),
            "2 classes|id 3",
        ),
    ],
)
def test_labels_of_another_order_are_refused_and_the_reason_named(
    labels: Any, message: str
) -> None:
    with pytest.raises(LabError, match=message) as caught:
        _check(labels)
    assert "\n" not in str(caught.value)
    assert "; try: " in str(caught.value)


@pytest.mark.parametrize(
    "labels", [np.delete(NOISY, 700), (NOISY + 1) % K, RNG(0).permutation(NOISY), NOISY[::-1]]
)
def test_the_user_can_insist_on_an_order_but_not_on_wrong_labels(labels: Labels) -> None:
    assert "trusted" in _check(labels, trusted=True)
    for wrong, message in ((np.tile(labels, 3), "labels; expected"), (labels + 5, "from 5 to 14")):
        with pytest.raises(LabError, match=message):
            _check(wrong, trusted=True)


def test_one_row_lost_of_50_000_is_seen_wherever_it_is() -> None:
    """As in CIFAR-10N worst: 40 % of the labels are wrong."""
    clean = balanced(50_000, K)
    noisy = transitions.draw(clean, transitions.symmetric(0.4, K), 1)
    shortest = shortest_visible(clean, noisy, K)
    assert shortest is not None
    assert shortest < 100
    _check(noisy, clean)
    for row in (1000, 25_000, 49_700):
        broken = displaced_rows(clean, np.append(np.delete(noisy, row), 0), K)
        assert broken is not None
        assert abs(broken.start - row) < 30
    kept = noisy.copy()
    kept[2500:] = RNG(0).permutation(noisy[2500:])
    with pytest.raises(LabError, match="leave their images at row 2[45]"):
        _check(kept, clean)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (sorted(range(12), key=str), "numbers sorted as text"),
        ([1, 0, *range(2, 12)], "id 0 is 'k', id 1 is 'l'"),
    ],
)
def test_class_ids_in_another_order_are_named(order: list[int], words: str) -> None:
    clean = balanced(1200, 12)
    noisy = transitions.draw(clean, transitions.symmetric(0.3, 12), 0)
    names = tuple("lkjihgfedcba")
    with pytest.raises(LabError, match=words):
        _check(np.argsort(order)[noisy], clean, 12, class_names=names)


def test_alphabetical_class_ids_are_named() -> None:
    clean = balanced(400, 4)
    with pytest.raises(LabError, match="class names in alphabetical order"):
        _check(3 - clean, clean, 4, class_names=("zebra", "bear", "ape", "ant"))
    assert other_class_order(clean, (clean + 1) % 4, 4) == {0: 1, 1: 2, 2: 3, 3: 0}


NOISES: dict[str, Callable[[Labels, int, int], Labels]] = {
    "clean": lambda clean, k, seed: clean.copy(),
    "symmetric-60": lambda clean, k, seed: transitions.draw(
        clean, transitions.symmetric(0.6, k), seed
    ),
    "pair-45": lambda clean, k, seed: transitions.draw(
        clean, transitions.along_map(0.45, class_maps.named_map("next_class", k)), seed
    ),
    # More than half of a class carries the label of another: noise all the same.
    "pair-60": lambda clean, k, seed: transitions.draw(
        clean, transitions.along_map(0.6, class_maps.named_map("next_class", k)), seed
    ),
}


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("n", "n_classes"), [(2000, 10), (3000, 100)])
def test_genuine_labels_are_never_refused(
    n: int, n_classes: int, noise: str, by_class: bool
) -> None:
    """False alarms of 1e-6 each: none in 40 files, sorted by class or not."""
    for seed in range(5):
        clean = balanced(n, n_classes, seed)
        clean = np.sort(clean) if by_class else clean
        assert _check(NOISES[noise](clean, n_classes, seed), clean, n_classes)


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize(("n", "rate"), [(60, 0.25), (200, 0.3), (600, 0.4)])
def test_small_sets_of_two_classes_with_much_noise_are_accepted(
    n: int, rate: float, by_class: bool
) -> None:
    """Exactly `rate` wrong, as in medical folders; the exact test asks for p < 0.01."""
    clean = np.sort(balanced(n, 2)) if by_class else balanced(n, 2)
    noisy = clean.copy()
    for c in range(2):
        members = np.flatnonzero(clean == c)
        wrong = RNG(c).choice(members, round(rate * len(members)), replace=False)
        noisy[wrong] = 1 - c
    assert "agreement" in _check(noisy, clean, 2)


def test_too_few_labels_say_how_many_would_do_and_can_be_insisted_on() -> None:
    clean = balanced(60, 2)
    noisy = np.where(np.arange(60) % 5 < 2, 1 - clean, clean)
    with pytest.raises(LabError, match="60 labels are too few to tell.* about .* labels would"):
        _check(noisy, clean, 2)
    assert "trusted" in _check(noisy, clean, 2, trusted=True)
    # Paths say which image a label is about; agreement need not prove it.
    assert "by path" in _check(noisy, clean, 2, joined="path")


def test_labels_in_a_random_order_pass_as_rarely_as_stated() -> None:
    """3000 files at 1 %: more than 60 would be 5.4 standard deviations off."""
    for n, n_classes in ((60, 2), (300, 10), (200, 100)):
        clean, rng = balanced(n, n_classes), RNG(1)
        passed = sum(
            against_chance(clean, rng.permutation(clean), n_classes).p <= BY_CHANCE
            for _ in range(3000)
        )
        assert passed <= 60


def test_a_part_of_labels_sorted_by_class_needs_an_index() -> None:
    clean = np.sort(balanced(240, 4))
    with pytest.raises(LabError, match="sorted by class, where the loss of a row cannot be seen"):
        _check(clean[1:], clean, 4)
    assert _check(clean, clean, 4)
    assert _check(clean[1:], clean, 4, trusted=True)
    index = np.arange(239)
    assert check_labels(clean, clean[:239], 4, Rows("the file", "index"), index)


def test_joined_labels_are_judged_on_the_images_they_name() -> None:
    index = np.sort(RNG(0).choice(N, 900, replace=False))
    assert check_labels(CLEAN, NOISY[index], K, Rows("the file", "index"), index)
    with pytest.raises(LabError, match="leave their images|chance"):
        check_labels(CLEAN, NOISY[:900], K, Rows("the file", "index"), index)


def test_videos_and_bursts_of_wrong_labels_are_noise() -> None:
    """Runs of 30 images of one class, of which whole runs are labelled wrongly."""
    clean = np.repeat(balanced(100, 5), 30)
    noisy = clean.copy()
    for run in RNG(4).choice(100, 25, replace=False):
        noisy[30 * run : 30 * run + 30] = (clean[30 * run] + 1) % 5
    assert offset_of(clean, noisy, 0, 5) is None
    assert not reversed_order(clean, noisy)
    assert not other_class_order(clean, noisy, 5)
    # Frames that slip by seven are seen, although most of them still agree.
    with pytest.raises(LabError, match="come 7 position.s. too late"):
        _check(np.roll(noisy, 7), clean, 5)


@pytest.mark.parametrize("lost", [None, 900])
def test_posteriors_and_features_are_judged_along_the_file_too(lost: int | None) -> None:
    """A doubled row shifts all that follow, whatever the values are."""
    posterior = softmax_rows(CLEAN, K)
    features = np.eye(K)[CLEAN] + RNG(0).normal(0, 0.3, (N, K))
    if lost is None:
        check_posterior(CLEAN, posterior, K, "it")
        check_features(CLEAN, features, K, "it")
        return
    for check, values in ((check_posterior, posterior), (check_features, features)):
        shifted = np.insert(values, lost, values[lost], axis=0)[:N]
        with pytest.raises(LabError, match=r"leaves its images at row (89|90)\d"):
            check(CLEAN, shifted, K, "it")


@pytest.mark.parametrize(
    ("joined", "remedy"),
    [("order", "find the row that was lost"), ("path", "give class names"), ("index", "the index")],
)
def test_the_remedy_for_displaced_labels_fits_how_they_were_joined(
    joined: str, remedy: str
) -> None:
    with pytest.raises(LabError, match=f"too late.* try: .*{remedy}"):
        check_labels(CLEAN, np.roll(NOISY, 1), K, Rows("the file", joined))
