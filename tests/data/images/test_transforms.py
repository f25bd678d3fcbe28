"""Views of images in files: as published, and a function of seed and position alone."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torchvision.transforms import v2

from pipeline.data.images.augmentation import AUGMENTATIONS
from pipeline.data.images.decoded import DecodedImages
from pipeline.data.images.transforms import N_DRAWS, TRANSFORMS, resize_short_side, view
from pipeline.data.listed import IndexedImages, as_paths
from tests.support.large_data_files import write_images

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [(300, 451), (451, 300), (257, 1000), (40, 33), (256, 256), (499, 333)]


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Random colours at every scale, so that filters and crops leave their mark."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (7, 9, 3), np.uint8)).resize((width, height))
    fine = Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8))
    return Image.blend(coarse, fine, 0.3)


@pytest.fixture
def images(tmp_path: Path) -> IndexedImages:
    """Thirty files, among them grey, CMYK, palette and transparent ones."""
    paths = [f"{number % 3}/{number},{number}.jpg" for number in range(30)]
    write_images(tmp_path, paths)
    for number, (width, height) in enumerate(SIZES):
        photograph(width, height, number).save(tmp_path / paths[number], "PNG")
    for number, mode in enumerate(["L", "CMYK", "P", "LA", "1"], start=len(SIZES)):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        photograph(60, 80, number).convert(mode).save(tmp_path / paths[number], kind)
    return IndexedImages("large", "train", tmp_path, as_paths(paths))


def decoded(images: IndexedImages, transform: str, workers: int = 0) -> DecodedImages:
    return DecodedImages(images, TRANSFORMS[transform], MEAN, STD, CPU, workers)


def one(image: Image.Image, transform: str, name: str, split: str = "train", **fixed: float):
    """One view with fixed numbers, 0.5 where nothing else is asked for."""
    places = {"top": 20, "left": 21, "flip": 22, "jitter": 23, "grey": 24, "first": 29}
    numbers = torch.full((N_DRAWS,), 0.5)
    for place, value in fixed.items():
        numbers[places[place]] = value
    return view(name, image, TRANSFORMS[transform], split, numbers)


# Against the ways that the published systems use


@pytest.mark.parametrize("transform", ["clothing1m", "webvision-dal"])
def test_plain_view_is_that_of_torchvision(images: IndexedImages, transform: str) -> None:
    usual = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    ((x,),) = decoded(images, transform).batches([torch.arange(30)], ["plain"], [0])
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    for position in range(30):
        expected = usual(Image.open(images.file(position)).convert("RGB"))
        torch.testing.assert_close(x[position], expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("transform", ["webvision-lra", "food101n"])
def test_other_systems_resize_bicubically_and_round_half_up(transform: str) -> None:
    n_other_side = 0
    for number, (width, height) in enumerate(SIZES):
        image = photograph(width, height, number)
        scale = 256 / min(width, height)
        size = (math.floor(width * scale + 0.5), math.floor(height * scale + 0.5))
        n_other_side += size != resize_short_side(image, 256, TRANSFORMS["clothing1m"].resize).size
        left, top = (round((side - 224) / 2) for side in size)
        box = (left, top, left + 224, top + 224)
        expected = image.resize(size, Image.Resampling.BICUBIC).crop(box)
        assert one(image, transform, "plain").tobytes() == expected.tobytes()
    assert n_other_side >= 2


def test_one_system_resizes_its_second_test_split_in_another_way() -> None:
    image = photograph(451, 300)
    lra, dal = (
        {split: one(image, transform, "plain", split).tobytes() for split in ("test", "ilsvrc")}
        for transform in ("webvision-lra", "webvision-dal")
    )
    assert lra["test"] != lra["ilsvrc"] == dal["ilsvrc"] == dal["test"]


def test_crop_reaches_every_place_and_flips_half_of_the_time() -> None:
    image = photograph(256, 300)
    resized = resize_short_side(image, 256, TRANSFORMS["clothing1m"].resize)
    for top, left in ((0, 0), (0.999999, 0.999999), (0.5, 0.25)):
        x, y = int(left * 33), int(top * 77)
        expected = resized.crop((x, y, x + 224, y + 224))
        found = one(image, "clothing1m", "weak", top=top, left=left, flip=0.5)
        assert found.tobytes() == expected.tobytes()
        mirrored = one(image, "clothing1m", "weak", top=top, left=left, flip=0.49)
        expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert mirrored.tobytes() == expected.tobytes()


def test_random_part_with_jitter_follows_its_numbers() -> None:
    image = photograph(400, 300)
    numbers = torch.full((N_DRAWS,), 0.5)
    # The first try: half of the way from 0.08 to 1 of the area, as wide as high.
    side = round(math.sqrt(0.54 * 400 * 300))
    # Contrast by 1.4 comes first, then brightness by 0.6; saturation and hue stay as they are.
    numbers[25:29] = torch.tensor([0.0, 1.0, 0.5, 0.5])
    numbers[29:33] = torch.tensor([0.3, 0.1, 0.5, 0.7])
    left, top = int(0.5 * (401 - side)), int(0.5 * (301 - side))
    part = image.crop((left, top, left + side, top + side))
    part = part.resize((224, 224), Image.Resampling.BILINEAR)
    part = ImageEnhance.Brightness(ImageEnhance.Contrast(part).enhance(1.4)).enhance(0.6)
    found = view("weak", image, TRANSFORMS["webvision-dal"], "train", numbers)
    # A hue turned by nothing still goes there and back through 8 bits.
    difference = np.asarray(found, np.int16) - np.asarray(part, np.int16)
    assert np.abs(difference).max() <= 4
    assert np.abs(difference).mean() < 1


def test_strong_view_turns_grey_and_jitters_in_their_shares() -> None:
    image = photograph(300, 260)
    grey = np.asarray(one(image, "clothing1m", "strong", grey=0.19))
    assert (grey == grey[:, :, :1]).all()
    colourful = np.asarray(one(image, "clothing1m", "strong", grey=0.21, jitter=0.81))
    assert not (colourful == colourful[:, :, :1]).all()
    first = one(image, "clothing1m", "strong", jitter=0.79, first=0.0).tobytes()
    assert first != colourful.tobytes()


def changed(image: Image.Image, policy: str, stage: str) -> Image.Image:
    """An image after the operations of a named view, by the fixed numbers of `one`."""
    pixels = torch.from_numpy(np.array(image))[None]
    numbers = np.full((1, N_DRAWS - 33), 0.5, np.float32)
    made = getattr(AUGMENTATIONS[policy], stage).changed(pixels, numbers)
    return Image.fromarray(made[0].contiguous().numpy())


@pytest.mark.parametrize("transform", ["clothing1m", "webvision-dal"])
def test_operations_come_before_or_after_the_weak_view(transform: str) -> None:
    image = photograph(300, 256)
    weak = one(image, transform, "weak")
    found = one(image, transform, "weak-autoaugment-imagenet")
    assert found.tobytes() == changed(weak, "weak-autoaugment-imagenet", "after").tobytes()
    assert found.tobytes() != weak.tobytes()
    resized = resize_short_side(image, 256, TRANSFORMS[transform].resize)
    expected = one(changed(resized, "promix", "before"), transform, "weak")
    assert one(image, transform, "promix").tobytes() == expected.tobytes()


def test_the_crop_may_reach_into_the_mirror_image() -> None:
    image = photograph(256, 256)
    padded = Image.fromarray(np.pad(np.asarray(image), ((28, 28), (28, 28), (0, 0)), "reflect"))
    for top, left in ((0.0, 0.0), (0.999999, 0.5)):
        y, x = int(top * 89), int(left * 89)
        found = one(image, "clothing1m", "weak-reflect", top=top, left=left)
        assert found.tobytes() == padded.crop((x, y, x + 224, y + 224)).tobytes()


def test_the_square_of_a_view_has_the_mean(images: IndexedImages) -> None:
    how = AUGMENTATIONS["autoaugment-cutout"]
    index = torch.tensor([7, 3])
    ((x,),) = decoded(images, "clothing1m").batches([index], ["autoaugment-cutout"], [5])
    assert torch.equal(x, how.without_square(x, index, 5))
    sizes = (x == 0).all(dim=1).sum(dim=(1, 2))
    assert ((sizes >= 56 * 56) & (sizes <= 112 * 112)).all()
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_view_is_refused(images: IndexedImages) -> None:
    with pytest.raises(ValueError, match="no view 'odd'"):
        next(decoded(images, "clothing1m").batches([torch.arange(2)], ["odd"], [0]))


# Functions of seed and position


VIEWS, SEEDS = ("weak", "strong", "plain", "weak", "disc"), (11, 12, 13, 14, 15)


def views_by_position(source: DecodedImages, requests: list[torch.Tensor]) -> dict:
    made = list(source.batches(requests, VIEWS, SEEDS))
    assert [len(batch[0]) for batch in made] == [len(request) for request in requests]
    return {
        int(position): [x[place] for x in batch]
        for request, batch in zip(requests, made, strict=True)
        for place, position in enumerate(request)
    }


@pytest.mark.slow
def test_neither_workers_nor_order_nor_batches_change_a_view(images: IndexedImages) -> None:
    source = decoded(images, "webvision-dal")
    reference = views_by_position(source, [torch.arange(30)])
    order = torch.from_numpy(np.random.default_rng(3).permutation(30))
    for workers in (0, 2):
        other = decoded(images, "webvision-dal", workers)
        found = views_by_position(other, list(order.split(7)))
        for position, expected in reference.items():
            for x, y in zip(found[position], expected, strict=True):
                torch.testing.assert_close(x, y, atol=0, rtol=0)


def test_seeds_views_and_positions_have_draws_of_their_own(images: IndexedImages) -> None:
    source = decoded(images, "webvision-lra")
    same = torch.tensor([4, 4, 5])
    (views,) = source.batches([same], ["weak", "weak", "weak"], [1, 2, 1])
    assert torch.equal(views[0], views[2])
    assert torch.equal(views[0][0], views[0][1])
    assert not torch.equal(views[0], views[1])
    ((first,),) = source.batches([torch.tensor([4])], ["plain"], [1])
    ((again,),) = source.batches([torch.tensor([4])], ["plain"], [9])
    assert torch.equal(first, again)


def test_no_global_random_number_is_used(images: IndexedImages) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    for workers in (0, 1):
        list(decoded(images, "clothing1m", workers).batches([torch.arange(3)], ["weak"], [0]))
    assert torch.equal(torch.rand(3), expected)


def test_nothing_asked_nothing_made_and_length_is_that_of_the_split(images: IndexedImages) -> None:
    source = decoded(images, "clothing1m", workers=1)
    assert list(source.batches([], ["weak"], [0])) == []
    assert len(source) == 30
