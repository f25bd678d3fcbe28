"""Class-balanced epochs."""

import numpy as np
import pytest

from pipeline.data.balanced import balanced_epoch, repeated_to_balance

COUNTS = np.array([400, 37, 120, 0, 90])
Y = np.random.default_rng(0).permutation(np.repeat(np.arange(5), COUNTS))


@pytest.mark.parametrize(("per_class", "quota"), [(None, 37), (20, 20), (37, 37), (38, 37)])
def test_every_label_that_occurs_has_its_quota_once(per_class: int | None, quota: int) -> None:
    samples = balanced_epoch(Y, per_class, 3)
    assert samples.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(Y[samples]), quota * (COUNTS > 0))
    assert len(set(samples.tolist())) == len(samples)


def test_a_quota_beyond_the_rarest_label_is_that_of_none() -> None:
    np.testing.assert_array_equal(balanced_epoch(Y, 500, 3), balanced_epoch(Y, None, 3))


def test_the_rarest_label_gives_the_same_set_every_epoch_and_the_others_do_not() -> None:
    epochs = [balanced_epoch(Y, None, seed) for seed in range(5)]
    for label in (0, 1, 2, 4):
        sets = {tuple(sorted(samples[Y[samples] == label])) for samples in epochs}
        assert len(sets) == (1 if label == 1 else 5)


def test_a_function_of_the_seed_whose_order_mixes_the_labels() -> None:
    samples = balanced_epoch(Y, None, 3)
    np.testing.assert_array_equal(samples, balanced_epoch(Y, None, 3))
    assert not np.array_equal(samples, balanced_epoch(Y, None, 4))
    # Every label is spread over the whole epoch: the mean place of 37 of 148 has deviation 6.
    for label in (0, 1, 2, 4):
        places = np.concatenate(
            [np.flatnonzero(Y[balanced_epoch(Y, None, seed)] == label) for seed in range(25)]
        )
        assert places.mean() == pytest.approx(147 / 2, abs=5 * 6.1 / 5)
        assert places.std() == pytest.approx(148 / 12**0.5, rel=0.1)


def test_every_sample_is_as_likely_as_the_others_of_its_label() -> None:
    times = np.zeros(len(Y))
    for seed in range(400):
        times[balanced_epoch(Y, None, seed)] += 1
    assert (times[Y == 1] == 400).all()
    share = times[Y == 2] / 400
    assert share.mean() == pytest.approx(37 / 120)
    # Standard deviation of a share of 400 draws at p = 0.31 is 0.023.
    assert share.std() == pytest.approx(0.023, rel=0.3)
    assert np.abs(share - 37 / 120).max() < 5 * 0.023


def test_rare_labels_are_repeated_to_the_most_frequent_one() -> None:
    samples = repeated_to_balance(Y, 3)
    assert samples.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(Y[samples]), 400 * (COUNTS > 0))
    times = np.bincount(samples, minlength=len(Y))
    for label, count in enumerate(COUNTS):
        if count:
            own = times[label == Y]
            # As often as the others of the label, or once more; which ones is drawn.
            assert set(own) <= {400 // count, -(-400 // count)}
    np.testing.assert_array_equal(samples, repeated_to_balance(Y, 3))
    again = np.bincount(repeated_to_balance(Y, 4), minlength=len(Y))
    assert (again != times).any()
    assert len(repeated_to_balance(Y[:0], 3)) == 0
