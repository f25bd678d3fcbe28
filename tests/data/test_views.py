"""Augmentation and order: right, and a function of the sample alone."""

import numpy as np
import pytest
import torch

from pipeline.data import views
from pipeline.data.images.warp import rotated
from pipeline.data.randomness import (
    epoch_order,
    sample_normals,
    sample_uniforms,
    sample_uniforms_on_host,
)
from pipeline.data.views import DeviceImages

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def make(**options):
    return DeviceImages(IMAGES, MEAN, STD, torch.device("cpu"), **options)


def test_plain_images_are_normalised():
    x = make(crop_padding=2).view("plain", torch.tensor([3, 7]))
    expected = (IMAGES[[3, 7]] / 255 - MEAN) / STD
    np.testing.assert_allclose(x.permute(0, 2, 3, 1), expected, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_the_weak_view_is_a_padded_crop_and_perhaps_a_mirror(flip):
    padding, index, seed = 2, torch.arange(20), 5
    x = make(crop_padding=padding, flip=flip).view("weak", index, seed)
    draws = sample_uniforms(seed, index, 3).numpy()
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)))
    for i in range(20):
        dy, dx = (draws[i, :2] * 5).astype(int)
        crop = padded[i, dy : dy + 6, dx : dx + 5]
        if flip and draws[i, 2] < 0.5:
            crop = crop[:, ::-1]
        np.testing.assert_allclose(x[i].permute(1, 2, 0), (crop / 255 - MEAN) / STD, atol=1e-5)


def test_the_weak_view_is_turned_after_crop_and_mirror():
    index, seed = torch.arange(20), 5
    upright = make(crop_padding=2, flip=True).view("weak", index, seed)
    turned = make(crop_padding=2, flip=True, rotation=30.0).view("weak", index, seed)
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    angles = 30 * (2 * sample_uniforms(seed, index, 4)[:, 3] - 1)
    pixels = upright.permute(0, 2, 3, 1) * std + mean
    expected = (rotated(pixels, angles) - mean) / std
    torch.testing.assert_close(turned.permute(0, 2, 3, 1), expected, rtol=0, atol=1e-5)
    assert not torch.equal(turned, upright)
    plain = make(rotation=30.0).view("plain", index)
    assert torch.equal(plain, make().view("plain", index))


def test_a_view_depends_on_sample_and_seed_not_on_the_batch():
    images = make(crop_padding=2, flip=True)
    together = images.view("weak", torch.arange(20), 9)
    alone = images.view("weak", torch.tensor([13]), 9)
    assert torch.equal(together[13:14], alone)
    assert not torch.equal(together, images.view("weak", torch.arange(20), 10))


def test_an_unknown_view_is_refused():
    with pytest.raises(ValueError, match="stronger"):
        make().view("stronger", torch.arange(2), 0)


@pytest.mark.parametrize("seed", [0, 3, 2**63 - 1])
def test_the_host_draws_the_numbers_of_the_device(seed):
    index = np.array([0, 1, 5, 49_999, 2**40])
    expected = sample_uniforms(seed, torch.from_numpy(index), 7).numpy()
    assert np.array_equal(sample_uniforms_on_host(seed, index, 7), expected)


def test_sample_uniforms_are_uniform_and_uncorrelated():
    # 4 sd of a mean of 10^5 uniforms is 0.0037; 8 figures: false alarm below 1 in 1,000.
    u = sample_uniforms(3, torch.arange(100_000), 4)
    assert u.min() >= 0
    assert u.max() < 1
    assert (u.mean(dim=0) - 0.5).abs().max() < 0.0037
    neighbours = np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]
    assert abs(neighbours) < 4 / 100_000**0.5
    assert np.abs(np.corrcoef(u.T) - np.eye(4)).max() < 4 / 100_000**0.5


def test_sample_normals_are_normal_symmetric_and_of_the_sample():
    n = 200_000
    z = sample_normals(3, torch.arange(n), 5)
    assert z.dtype == torch.float32
    assert torch.equal(sample_normals(3, torch.tensor([17]), 5), z[17:18])
    assert not torch.equal(sample_normals(4, torch.arange(n), 5), z)
    # Kolmogorov-Smirnov distance: the chance of more than 2 / sqrt(draws) is below 0.001.
    draws = z.flatten().sort().values.double()
    expected = torch.special.ndtr(draws)
    steps = torch.arange(1, len(draws) + 1) / len(draws)
    assert (expected - steps).abs().max() < 2 / len(draws) ** 0.5
    # Moments and correlations of n draws, 4.5 standard deviations; tails as long as they should be.
    assert z.mean(dim=0).abs().max() < 4.5 / n**0.5
    assert (z.var(dim=0) - 1).abs().max() < 4.5 * (2 / n) ** 0.5
    assert np.abs(np.corrcoef(z.T) - np.eye(5)).max() < 4.5 / n**0.5
    assert abs(np.corrcoef(z[:-1, 0], z[1:, 0])[0, 1]) < 4.5 / n**0.5
    assert 4 < z.abs().max() < 5.5


def test_every_epoch_visits_every_sample_once_in_its_own_order():
    first, second = epoch_order(1, 50), epoch_order(2, 50)
    assert torch.equal(first.sort().values, torch.arange(50))
    assert not torch.equal(first, second)


def test_a_weak_view_without_crop_and_flip_is_the_plain_one():
    index = torch.arange(20)
    assert torch.equal(make().view("weak", index, 5), make().view("plain", index))


@pytest.mark.parametrize("at_once", [1, 7])
def test_for_how_many_images_is_drawn_at_once_changes_no_view(at_once, monkeypatch):
    requests, names = torch.arange(20).flip(0).split([5, 1, 8, 0, 6]), ("weak", "strong", "disc")
    images = make(crop_padding=2, flip=True)
    expected = list(images.batches(requests, names, (3, 4, 5)))
    monkeypatch.setattr(views, "_AT_ONCE", at_once)
    found = list(images.batches(requests, names, (3, 4, 5)))
    for ours, theirs in zip(found, expected, strict=True):
        assert all(map(torch.equal, ours, theirs))
