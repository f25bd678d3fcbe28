"""The strong view: torchvision's operations with the same parameters, and the right laws."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from pipeline.data.images import strong
from pipeline.data.images.strong import (
    Box,
    Jitter,
    crop_resized,
    draw,
    draw_box,
    grey,
    jitter,
    strong_view,
)
from pipeline.data.randomness import sample_uniforms
from pipeline.data.views import DeviceImages

STREAM = torch.Generator().manual_seed(0)
COLOURS = torch.rand(24, 3, 12, 10, generator=STREAM)
GREY = torch.rand(24, 1, 12, 10, generator=STREAM)


def view(images, seed, index, **options):
    shape = tuple(images.shape[1:])
    return strong_view(images, draw(seed, index.numpy(), shape, images.device, **options))


def boxes(n, height=12, width=10, scale=0.08, seed=3):
    draws = sample_uniforms(seed, torch.arange(n), 22)
    return draw_box(draws[:, :20], draws[:, 20:], height, width, scale)


@pytest.mark.parametrize("images", [COLOURS, GREY])
def test_crops_are_those_of_torchvision(images):
    box = boxes(len(images))
    x = crop_resized(images, box)
    for i, image in enumerate(images):
        place = [int(part[i]) for part in box]
        expected = reference.resized_crop(image, *place, size=[12, 10], antialias=True)
        torch.testing.assert_close(x[i], expected, atol=2e-6, rtol=0)


def test_a_crop_of_the_whole_image_changes_nothing():
    n = len(COLOURS)
    whole = Box(*(torch.full((n,), value) for value in (0, 0, 12, 10)))
    torch.testing.assert_close(crop_resized(COLOURS, whole), COLOURS, atol=1e-6, rtol=0)


OPERATIONS = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
)


def test_jitter_is_that_of_torchvision_in_each_samples_order():
    n = len(COLOURS)
    draws = torch.rand(n, 4, generator=STREAM)
    factors = torch.cat([0.6 + 0.8 * draws[:, :3], 0.2 * draws[:, 3:] - 0.1], dim=1)
    order = torch.rand(n, 4, generator=STREAM).argsort(dim=1)
    assert len(order.unique(dim=0)) > 10
    x = jitter(COLOURS, Jitter(factors, order))
    for i, image in enumerate(COLOURS):
        expected = image
        for kind in order[i].tolist():
            expected = OPERATIONS[kind](expected, float(factors[i, kind]))
        torch.testing.assert_close(x[i], expected, atol=1e-5, rtol=0)


def alone(x, factors, order):
    """The jitter of one image [1, C, H, W] by the formula."""
    for kind in order.tolist():
        factor = factors[kind]
        if kind == 3:
            x = strong._turned(x, factor) if x.shape[1] == 3 else x
            continue
        mean = grey(x).mean(dim=(2, 3), keepdim=True)
        other = (torch.zeros_like(x), mean, grey(x))[kind]
        x = (factor * x + (1 - factor) * other).clamp(0, 1)
    return x


@pytest.mark.parametrize("images", [COLOURS, GREY])
def test_no_bit_of_an_image_depends_on_those_that_change_beside_it(images):
    n = len(images)
    factors = 0.6 + 0.8 * torch.rand(n, 4, generator=STREAM)
    factors[:, 3] = 0.25 * (factors[:, 3] - 1)
    order = torch.rand(n, 4, generator=STREAM).argsort(dim=1)
    x = jitter(images, Jitter(factors, order))
    for i in range(n):
        assert torch.equal(x[i : i + 1], alone(images[i : i + 1], factors[i], order[i]))


@pytest.mark.parametrize("turn", [-0.1, -0.03, 0.0, 0.07, 0.1])
def test_hue_turns_as_in_torchvision_also_without_colour(turn):
    plain = torch.stack([torch.full((3, 4, 4), value) for value in (0.0, 0.4, 1.0)])
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3).view(27, 3, 1, 1)
    for images in (COLOURS, plain, corners):
        n = len(images)
        factors = torch.tensor([1.0, 1.0, 1.0, turn]).expand(n, 4)
        x = jitter(images, Jitter(factors, torch.arange(4).expand(n, 4)))
        expected = torch.stack([reference.adjust_hue(image, turn) for image in images])
        torch.testing.assert_close(x, expected, atol=5e-6, rtol=0)


def test_grey_is_the_luminance_and_leaves_grey_images():
    expected = torch.stack([reference.rgb_to_grayscale(image, 3) for image in COLOURS])
    torch.testing.assert_close(grey(COLOURS), expected, atol=1e-6, rtol=0)
    assert torch.equal(grey(GREY), GREY)


def test_saturation_and_hue_leave_grey_images():
    n = len(GREY)
    factors = torch.tensor([1.0, 1.0, 0.7, 0.1]).expand(n, 4)
    x = jitter(GREY, Jitter(factors, torch.arange(4).expand(n, 4)))
    torch.testing.assert_close(x, GREY, atol=1e-6, rtol=0)


@pytest.mark.parametrize("images", [COLOURS, GREY])
def test_a_view_depends_on_sample_and_seed_not_on_the_batch(images):
    index = torch.arange(100, 124)
    together = view(images, 9, index)
    for i in (0, 7, 23):
        assert torch.equal(together[i : i + 1], view(images[i : i + 1], 9, index[i : i + 1]))
    backwards = view(images.flip(0), 9, index.flip(0))
    assert torch.equal(together, backwards.flip(0))
    assert not torch.equal(together, view(images, 10, index))
    assert together.min() >= 0
    assert together.max() <= 1


def test_boxes_lie_within_the_image_and_follow_torchvisions_law():
    """Against its sampler: means of side lengths and corners, 4 standard errors of both."""
    from torchvision.transforms import RandomResizedCrop

    n, size = 20_000, 32
    ours = torch.stack(boxes(n, size, size), dim=1).double()
    top, left, height, width = ours.T
    assert (ours >= 0).all()
    assert (top + height <= size).all()
    assert (left + width <= size).all()
    torch.manual_seed(0)
    image = torch.empty(1, size, size)
    sampler = RandomResizedCrop.get_params
    theirs = torch.tensor(
        [sampler(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(n)], dtype=torch.float64
    )
    for moment in (ours, theirs), (ours**2, theirs**2):
        spread = (moment[0].var(dim=0) + moment[1].var(dim=0)) / n
        assert ((moment[0] - moment[1]).mean(dim=0).abs() < 4 * spread.sqrt()).all()
    area = height * width / size**2
    assert area.min() < 0.09
    assert area.max() > 0.99


@pytest.mark.parametrize(("height", "width"), [(64, 8), (8, 64), (16, 16)])
def test_where_no_try_fits_the_largest_central_crop_is_taken(height, width):
    from torchvision.transforms import RandomResizedCrop

    # Whole area and extreme ratio: never fits.
    tries = torch.cat([torch.full((1, 10), 1 - 2**-24), torch.zeros(1, 10)], dim=1)
    box = draw_box(tries, torch.full((1, 2), 0.9), height, width, min_scale=1.0)
    torch.manual_seed(0)
    image = torch.empty(1, height, width)
    expected = RandomResizedCrop.get_params(image, (50.0, 60.0), (3 / 4, 4 / 3))
    assert tuple(int(part) for part in box) == tuple(expected)


def test_colours_change_grey_and_mirror_as_often_as_they_should():
    """Shares of 4,000 samples within 4 standard deviations."""
    n = 4000
    ramp = torch.linspace(0, 1, 8).expand(8, 8)
    image = torch.stack([0.3 + 0.3 * ramp, 0.3 + 0.1 * ramp, 0.2 + 0.1 * ramp])
    x = view(image.expand(n, -1, -1, -1).contiguous(), 5, torch.arange(n), min_scale=1.0)
    is_grey = (x[:, 0] - x[:, 1]).abs().amax(dim=(1, 2)) + (x[:, 1] - x[:, 2]).abs().amax(
        dim=(1, 2)
    )
    mirrored = x[:, 0, :, 0] > x[:, 0, :, -1]
    coloured = is_grey > 1e-6
    untouched = coloured & (x.mean(dim=(2, 3)) - image.mean(dim=(1, 2))).abs().amax(dim=1).lt(0.02)

    def near(share, p):
        return abs(float(share.float().mean()) - p) < 4 * math.sqrt(p * (1 - p) / n)

    assert near(~coloured, strong.P_GREY)
    assert near(mirrored[:, 0], 0.5)
    # Not jittered: 0.2 of the coloured ones; a jitter may change the means by less than 0.02, too.
    assert 0.18 < float(untouched.sum() / coloured.sum()) < 0.24


def test_the_source_gives_the_normalised_strong_view():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    images = DeviceImages(pixels, mean, std, torch.device("cpu"), crop_padding=2, flip=False)
    index = torch.tensor([3, 17, 5])
    plain = torch.from_numpy(pixels[index]).permute(0, 3, 1, 2) / 255
    expected = view(plain, 4, index, flip=False)
    expected = (expected - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(images.view("strong", index, 4), expected, atol=1e-5, rtol=0)
    first, second = next(images.batches([index], ["strong", "strong"], [4, 5]))
    assert not torch.equal(first, second)
