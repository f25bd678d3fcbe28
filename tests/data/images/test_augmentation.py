"""Views by name: parts in the right order, squares in the right places, on any kind of images."""

from typing import get_args

import numpy as np
import pytest
import torch

from pipeline.data.images.augmentation import AUGMENTATIONS, Augmentation, ViewName
from pipeline.data.images.policies import N_NUMBERS
from pipeline.data.randomness import sample_uniforms
from pipeline.data.views import DeviceImages

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
INDEX = torch.arange(40)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def made(name, pixels=PIXELS, index=INDEX, seed=7, **options):
    n = pixels.shape[3]
    options = {"crop_padding": 2, "flip": True} | options
    return DeviceImages(pixels, MEAN[:n], STD[:n], torch.device("cpu"), **options).view(
        name, index, seed
    )


def pixels_of(x):
    return ((x.permute(0, 2, 3, 1) * torch.tensor(STD) + torch.tensor(MEAN)) * 255).round().byte()


def numbers(seed=7):
    return sample_uniforms(seed, INDEX, 4 + N_NUMBERS)[:, 4:].numpy()


def test_every_name_of_a_setting_is_a_view():
    assert {*AUGMENTATIONS, "strong"} == set(get_args(ViewName))


def test_the_crop_may_reach_into_the_mirror_image():
    for padding in (2, 7):
        x = pixels_of(made("weak-reflect", crop_padding=padding, flip=False))
        places = (sample_uniforms(7, INDEX, 2) * (2 * padding + 1)).long()
        margin = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        padded = np.pad(PIXELS, margin, mode="reflect")
        for i, (down, across) in enumerate(places.tolist()):
            assert np.array_equal(x[i], padded[i, down : down + 8, across : across + 8])


def test_operations_come_before_or_after_crop_and_flip():
    before, after = AUGMENTATIONS["promix"].before, AUGMENTATIONS["weak-autoaugment"].after
    changed = before.changed(torch.from_numpy(PIXELS), numbers()).numpy()
    assert torch.equal(pixels_of(made("promix")), pixels_of(made("weak", changed)))
    expected = after.changed(pixels_of(made("weak")), numbers())
    assert torch.equal(pixels_of(made("weak-autoaugment")), expected)


def test_a_square_has_the_mean_and_is_smaller_at_the_border():
    x, how = torch.ones(4000, 2, 32, 32), Augmentation(cutout=0.5)
    index = torch.arange(len(x))
    cut = how.without_square(x, index, 5)
    sizes = (cut[:, 0] == 0).sum(dim=(1, 2))
    assert sizes.min() == 8 * 8
    assert sizes.max() == 16 * 16
    # A side is 16 where its centre is one of 8 to 24: 17 of 32 places.
    whole = (17 / 32) ** 2
    spread = (whole * (1 - whole) / len(x)) ** 0.5
    assert abs(float((sizes == 256).float().mean()) - whole) < 4 * spread
    assert torch.equal(cut[:, 0], cut[:, 1])
    assert torch.equal(how.without_square(x[9:10], index[9:10], 5), cut[9:10])
    assert Augmentation().without_square(x, index, 5) is x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_view_depends_on_sample_and_seed_not_on_the_batch(name, channels):
    pixels = PIXELS[..., :channels]
    together = made(name, pixels)
    assert together.shape == (40, channels, 8, 8)
    assert together.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(together.flip(0), made(name, pixels, INDEX.flip(0)))
    assert torch.equal(together[11:12], made(name, pixels, INDEX[11:12]))
    assert not torch.equal(together, made(name, pixels, seed=8))
    assert len({made(other, pixels).sum().item() for other in AUGMENTATIONS}) == len(AUGMENTATIONS)
