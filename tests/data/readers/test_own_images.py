"""The user's own images: class folders and Parquet files."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.errors import LabError
from tests.support.data_files import encoded, pictures, write_class_folders, write_parquet

ANIMALS = ["cat", "dog", "eel"] * 10
NUMBERS = [0, 1, 2] * 10


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that is empty but for `source`, which the tests fill."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    (tmp_path / "source").mkdir()
    return tmp_path


def prepared(kind: str, **settings: Any) -> Dataset:
    spec = DataSpec.model_validate({"kind": kind, "root": "source", "image_size": 32} | settings)
    card = prepare_dataset("mine", spec)
    dataset = load_dataset("mine", verify=True)
    assert dataset.card == card
    return dataset


def refused(kind: str, project: Path, **settings: Any) -> str:
    """The message of a refusal, after which nothing but a lock may lie in the project."""
    with pytest.raises(LabError) as caught:
        prepared(kind, **settings)
    assert {file.name for file in (project / "data").glob("*")} <= {".mine.lock"}
    message = str(caught.value)
    assert "\n" not in message
    return message


# Class folders


@pytest.mark.parametrize("test_folder", ["test", "val"])
def test_class_folders_are_read_in_the_order_of_names(root: Path, test_folder: str) -> None:
    train, test = pictures(30), pictures(6, seed=1)
    write_class_folders(root / "source/train", train, ANIMALS)
    write_class_folders(root / "source" / test_folder, test, ANIMALS[:6])
    dataset = prepared("imagefolder")
    order = np.argsort(NUMBERS, kind="stable")
    assert dataset.card.class_names == ("cat", "dog", "eel")
    np.testing.assert_array_equal(dataset.train_labels, np.sort(NUMBERS))
    np.testing.assert_array_equal(dataset.train_images, train[order])
    np.testing.assert_array_equal(dataset.test_images, test[[0, 3, 1, 4, 2, 5]])
    assert dataset.train_clean_labels is None
    assert not dataset.card.has_clean


@pytest.mark.parametrize("inside", [".", "train"])
def test_without_test_folder_a_fixed_part_of_every_class_is_held_out(
    root: Path, inside: str
) -> None:
    images = pictures(30)
    write_class_folders(root / "source" / inside, images, ANIMALS)
    first = prepared("imagefolder", test_rate=0.3, labels="clean")
    np.testing.assert_array_equal(np.bincount(first.test_labels), [3, 3, 3])
    both = np.concatenate([first.train_images, first.test_images])
    assert sorted(image.tobytes() for image in both) == sorted(i.tobytes() for i in images)
    assert prepared("imagefolder", test_rate=0.3, labels="clean").card == first.card


def test_images_of_any_size_and_mode_become_square_rgb(root: Path) -> None:
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 10:30] = (10, 200, 30)
    grey = np.full((50, 60), 77, np.uint8)
    clear = np.full((12, 12, 4), (1, 2, 3, 128), np.uint8)
    for name, pixels in (("a", wide), ("b", grey), ("c", clear)):
        write_class_folders(root / "source/train", pixels[None], [name])
        write_class_folders(root / "source/test", pixels[None], [name])
    palette = Image.fromarray(wide).quantize(4)
    palette.save(root / "source/train/a/palette.png")
    images = prepared("imagefolder", image_size=10).train_images
    assert images.shape == (4, 10, 10, 3)
    colours = ((10, 200, 30), (10, 200, 30), (77, 77, 77), (1, 2, 3))
    for image, colour in zip(images, colours, strict=True):
        # The outermost columns also take in what lies beyond the cut.
        np.testing.assert_array_equal(image[:, 1:-1], np.broadcast_to(colour, (10, 8, 3)))


def test_tall_image_is_resized_bilinearly_before_its_centre_is_cut(root: Path) -> None:
    rows = np.arange(64)
    # Every second row is lighter by 100: a mean of neighbours sees 50, a pick sees 0 or 100.
    values = (rows + 100 * (rows % 2)).astype(np.uint8)
    tall = np.broadcast_to(values[:, None, None], (64, 32, 3))
    for part in ("train", "test"):
        write_class_folders(root / "source" / part, np.stack([tall, tall]), ["a", "b"])
    image = prepared("imagefolder", image_size=16).train_images[0].astype(float)
    expected = np.broadcast_to(66.5 + 2 * np.arange(16)[:, None], (16, 16))
    np.testing.assert_allclose(image[:, :, 0], expected, atol=0.6)


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "webp", "bmp"])
def test_every_format_is_read(root: Path, ending: str) -> None:
    flat = np.full((32, 32, 3), 100, np.uint8)
    kind = {"jpg": "JPEG"}.get(ending, ending.upper())
    for part in ("train", "test"):
        for name in ("a", "b"):
            folder = root / "source" / part / name
            folder.mkdir(parents=True)
            (folder / f"one.{ending}").write_bytes(encoded(flat, kind))
            (folder / "notes.txt").write_text("not an image")
    np.testing.assert_allclose(prepared("imagefolder").train_images, 100, atol=2)


def damage_cut_image(folder: Path) -> str:
    file = folder / "train/dog/00004.png"
    file.write_bytes(file.read_bytes()[:1000])
    return r"dog/00004\.png cannot be decoded"


def damage_no_image(folder: Path) -> str:
    (folder / "test/eel/00005.png").write_text("<html>not found</html>")
    return r"eel/00005\.png cannot be decoded"


def damage_deep_pixels(folder: Path) -> str:
    Image.fromarray(np.full((32, 32), 40_000, np.uint16)).save(folder / "train/cat/00000.png")
    return r"cat/00000\.png has pixels of mode I;16.*8 bits"


def damage_empty_class(folder: Path) -> str:
    (folder / "train/fox").mkdir()
    (folder / "train/fox/readme.md").touch()
    return r"no images in class folder .*fox \(it holds files ending in \.md\); expected: .*\*\.bmp"


def damage_odd_class(folder: Path) -> str:
    write_class_folders(folder / "test", pictures(1), ["fox"])
    return "class 'fox' is in only one of"


def damage_no_classes(folder: Path) -> str:
    (folder / "train").rename(folder.parent / "away")
    (folder / "test").rename(folder.parent / "gone")
    return "no folders in .*one folder per class"


def damage_one_class(folder: Path) -> str:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / part / name).rename(folder.parent / f"{part} {name}")
    return "1 class in the source; expected: two classes or more"


@pytest.mark.parametrize(
    "damage",
    [
        damage_cut_image,
        damage_no_image,
        damage_deep_pixels,
        damage_empty_class,
        damage_odd_class,
        damage_no_classes,
        damage_one_class,
    ],
)
def test_unfit_class_folders_are_refused_by_name(root: Path, damage: Callable[[Path], str]) -> None:
    write_class_folders(root / "source/train", pictures(30), ANIMALS)
    write_class_folders(root / "source/test", pictures(6), ANIMALS[:6])
    pattern = damage(root / "source")
    message = refused("imagefolder", root)
    assert re.search(pattern, message), message


@pytest.mark.parametrize("kind", ["imagefolder", "parquet"])
def test_missing_root_says_where_to_give_it(root: Path, kind: str) -> None:
    assert "give root: in params.yaml or --root" in refused(kind, root, root=None)
    assert "nowhere' does not exist" in refused(kind, root, root="nowhere")


def test_too_few_images_to_hold_any_out_are_refused(root: Path) -> None:
    write_class_folders(root / "source", pictures(5), ["a", "a", "b", "b", "c"])
    assert "one image only with label 2" in refused("imagefolder", root)
    write_class_folders(root / "source", pictures(6), ["a", "a", "b", "b", "c", "c"])
    assert "change test_rate" in refused("imagefolder", root, test_rate=0.1)


# Parquet files


def test_parquet_parts_are_joined_and_resized(root: Path) -> None:
    images = pictures(30, size=64)
    images[:] = images[:, :1, :1]
    folder = root / "source/data"
    write_parquet(folder / "train-00001-of-00002.parquet", images[20:], label=NUMBERS[20:])
    write_parquet(folder / "train-00000-of-00002.parquet", images[:20], label=NUMBERS[:20])
    write_parquet(folder / "test-00000-of-00001.parquet", images[:3], label=NUMBERS[:3])
    dataset = prepared("parquet")
    np.testing.assert_array_equal(dataset.train_images, images[:, :32, :32])
    np.testing.assert_array_equal(dataset.train_labels, NUMBERS)
    np.testing.assert_array_equal(dataset.test_images, images[:3, :32, :32])
    assert dataset.card.class_names == ("0", "1", "2")
    assert dataset.card.labels == "given"


def test_one_parquet_file_with_names_plain_bytes_and_clean_labels(root: Path) -> None:
    images = pictures(30)
    frame = pl.DataFrame(
        {
            "picture": [encoded(pixels) for pixels in images],
            "seen": pl.Series(["dog", *ANIMALS[1:]]).cast(pl.Categorical),
            "truth": ANIMALS,
        }
    )
    frame.write_parquet(root / "source/everything.parquet")
    dataset = prepared(
        "parquet",
        root="source/everything.parquet",
        image_column="picture",
        label_column="seen",
        clean_column="truth",
        test_rate=0.3,
    )
    place = {pixels.tobytes(): row for row, pixels in enumerate(images)}
    train = [place[image.tobytes()] for image in dataset.train_images]
    test = [place[image.tobytes()] for image in dataset.test_images]
    assert sorted(train + test) == list(range(30))
    assert dataset.train_clean_labels is not None
    truth, seen = np.array(NUMBERS), np.array([1, *NUMBERS[1:]])
    np.testing.assert_array_equal(dataset.train_clean_labels, truth[train])
    np.testing.assert_array_equal(dataset.train_labels, seen[train])
    np.testing.assert_array_equal(dataset.test_labels, truth[test])
    assert dataset.card.has_clean


def test_clean_labels_are_part_of_the_digest(root: Path) -> None:
    digests = set()
    for clean in (NUMBERS, NUMBERS[::-1]):
        write_parquet(root / "source/train.parquet", pictures(30), label=NUMBERS, clean=clean)
        write_parquet(root / "source/test.parquet", pictures(3), label=NUMBERS[:3])
        digests.add(prepared("parquet", clean_column="clean").card.digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([-1, *NUMBERS[1:]], "labels from -1 to 2 on 30 rows"),
        ([3 if label == 1 else label for label in NUMBERS], "class '1' has no training image"),
        ([10**15, *NUMBERS[1:]], "labels from 0 to 1000000000000000 on 30 rows"),
        ([None, *NUMBERS[1:]], "column 'label' of"),
        ([label / 2 for label in NUMBERS], "column 'label' holds double; expected: whole numbers"),
    ],
)
def test_unfit_labels_are_refused(root: Path, labels: list[Any], message: str) -> None:
    write_parquet(root / "source/train.parquet", pictures(30), label=labels)
    assert message in refused("parquet", root)


def test_unknown_column_is_answered_with_the_nearest(root: Path) -> None:
    write_parquet(root / "source/train.parquet", pictures(30), label=NUMBERS)
    message = refused("parquet", root, label_column="labl")
    assert "has no column 'labl'; expected: one of image, label; try: label" in message
    assert "try: image" in refused("parquet", root, image_column="imge")
    assert "holds int64; expected: image files as bytes" in refused(
        "parquet", root, image_column="label"
    )


def test_parts_that_differ_in_type_are_refused(root: Path) -> None:
    write_parquet(root / "source/train-0.parquet", pictures(30), label=NUMBERS)
    write_parquet(root / "source/train-1.parquet", pictures(30), label=ANIMALS)
    assert "int64, as in the files before it" in refused("parquet", root)
    (root / "source/train-1.parquet").rename(root / "source/test.parquet")
    assert "names in another" in refused("parquet", root)


def test_damaged_parquet_is_refused(root: Path) -> None:
    file = root / "source/train.parquet"
    write_parquet(file, pictures(30), label=NUMBERS)
    content = file.read_bytes()
    for damaged in (content[:-20], content[: len(content) // 2], b"", b"no parquet at all"):
        file.write_bytes(damaged)
        assert "cannot be read" in refused("parquet", root)
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes(4000) + content[middle + 4000 :])
    assert "train.parquet" in refused("parquet", root)
    file.unlink()
    assert "no train*.parquet in" in refused("parquet", root)


def test_broken_or_absent_image_of_a_row_is_named(root: Path) -> None:
    good = [encoded(pixels) for pixels in pictures(30)]
    file = root / "source/train.parquet"
    for bad in (good[0][:500], None):
        message = "image of row 17, train.parquet cannot be decoded"
        contents = [*good[:17], bad, *good[18:]]
        pl.DataFrame({"image": contents, "label": NUMBERS}).write_parquet(file)
        assert message in refused("parquet", root)
        structs = [{"bytes": content, "path": "p"} for content in contents]
        pl.DataFrame({"image": structs, "label": NUMBERS}).write_parquet(file)
        assert message in refused("parquet", root)
