"""Folders as people have them: endings, sub-folders, parts, shards; nothing is lost in silence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import ExifTags, Image

from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.data.images.decode import ENDINGS_OF
from pipeline.errors import LabError
from tests.support.data_files import encoded, pictures, write_class_folders, write_parquet

PETS = ["cat", "dog"] * 8
NUMBERS = [0, 1] * 8


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source of one's own, in an empty project."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def prepared(kind: str = "imagefolder", **settings: Any) -> Dataset:
    spec = {"kind": kind, "root": "source", "image_size": 8, **settings}
    prepare_dataset("mine", DataSpec.model_validate(spec))
    return load_dataset("mine")


def refused(kind: str = "imagefolder", **settings: Any) -> str:
    with pytest.raises(LabError) as caught:
        prepared(kind, **settings)
    assert caught.value.remedy
    return str(caught.value)


def write(place: Path, n: int = 16, seed: int = 0) -> None:
    write_class_folders(place, pictures(n, seed, size=8), PETS[:n])


# Image folders


@pytest.mark.parametrize(
    "name", [f"x{ending}" for endings in ENDINGS_OF.values() for ending in endings]
)
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_images_of_every_usual_ending_are_read(
    root: Path, name: str, change: Callable[[str], str]
) -> None:
    write(root)
    kind = next(kind for kind, endings in ENDINGS_OF.items() if name[1:] in endings)
    (root / "cat" / change(name)).write_bytes(encoded(np.full((8, 8, 3), 90, np.uint8), kind))
    card = prepared().card
    assert (card.n_train + card.n_test, card.left_out) == (17, {})


def test_what_is_no_image_is_counted_by_ending_and_system_files_are_not(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root)
    for name in ("a.xcf", "b.XCF", "c.pdf", "README"):
        (root / "dog" / name).touch()
    for name in (
        "cat/._00000.png",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "dog/desktop.ini",
        ".DS_Store",
    ):
        (root / name).touch()
    for name in ("__MACOSX/cat", "cat/.ipynb_checkpoints", "@eaDir"):
        (root / name).mkdir(parents=True)
        (root / name / "x.png").touch()
    (root / "loose.png").touch()
    card = prepared().card
    assert (card.class_names, card.n_train + card.n_test) == (("cat", "dog"), 16)
    assert card.left_out == {
        "files ending in .xcf": 2,
        "files ending in .pdf": 1,
        "files without ending": 1,
        "images outside the class folders": 1,
    }
    assert "mine: left out: images outside" in capsys.readouterr().out


def test_sub_folders_belong_to_their_class(root: Path) -> None:
    write(root / "train")
    write(root / "test", 4)
    (root / "train/cat/wild/big").mkdir(parents=True)
    for name in ("00000.png", "00002.png"):
        (root / "train/cat" / name).rename(root / "train/cat/wild/big" / name)
    dataset = prepared()
    assert (dataset.card.n_train, dataset.card.class_names) == (16, ("cat", "dog"))
    assert dataset.train_files is not None
    assert dataset.train_files[6:8] == (
        "train/cat/wild/big/00000.png",
        "train/cat/wild/big/00002.png",
    )


@pytest.mark.parametrize("test", ["test", "Test", "TEST", "val", "valid", "validation", "Val"])
@pytest.mark.parametrize("train", ["train", "Train", "training"])
def test_parts_under_their_usual_names_are_used(root: Path, train: str, test: str) -> None:
    write(root / train)
    write(root / test, 4, seed=1)
    dataset = prepared()
    assert (dataset.card.n_train, dataset.card.n_test, dataset.card.left_out) == (16, 4, {})
    np.testing.assert_array_equal(dataset.test_images, pictures(4, 1, size=8)[[0, 2, 1, 3]])


def test_parts_that_are_not_used_are_counted_and_can_be_chosen(root: Path) -> None:
    write(root / "train")
    write(root / "test", 4)
    write(root / "val", 6)
    write(root / "unsorted", 2)
    assert prepared().card.left_out == {"images in unsorted": 2, "images in val": 6}
    chosen = prepared(test_part="val").card
    assert (chosen.n_test, chosen.left_out["images in test"]) == (6, 4)
    held_out = prepared(test_part="none", test_rate=0.5).card
    assert (held_out.n_train, held_out.n_test) == (8, 8)
    assert "try: val" in refused(test_part="vall")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train", "valid", "validation"], "test_part: valid"),
        (["train", "test", "Test"], "Test and test in"),
        (["train", "training", "test"], "train and training in"),
        (["seg_train", "seg_test"], "seg_test, seg_train in"),
        (["val", "test"], "name the folder of training images train"),
        (["cats/train", "cats/test", "dogs/train", "dogs/test"], "test, train inside"),
    ],
)
def test_parts_that_can_be_read_in_two_ways_are_refused(
    root: Path, names: list[str], message: str
) -> None:
    for name in names:
        write(root / name)
    assert message in refused()


@pytest.mark.parametrize("name", ["dev", "val2017", "test_images", "Validation Set"])
def test_a_part_under_another_name_is_chosen_and_never_passed_over(root: Path, name: str) -> None:
    write(root / "train")
    write(root / name, 4)
    assert f"try: test_part: {name} in params.yaml" in refused()
    assert prepared(test_part=name).card.n_test == 4
    held_out = prepared(test_part="none", test_rate=0.5).card
    assert (held_out.n_test, held_out.left_out) == (8, {f"images in {name}": 4})


def test_lists_of_splits_are_not_followed_and_counted(root: Path) -> None:
    write(root)
    for name in ("train.txt", "test.csv", "split_2.json", "README.txt", "labels.csv"):
        (root / name).write_text("cat/00000.png\n")
    assert prepared().card.left_out == {"lists of splits, which are not followed": 3}


def test_parts_without_class_folders_are_no_classes(root: Path) -> None:
    write(root)
    for old, new in (("cat", "train"), ("dog", "test")):
        (root / old).rename(root / new)
    assert "test, train in" in refused()
    # A test part without labels cannot be tested on.
    (root / "train").rename(root / "cat")
    write(root / "train")
    assert prepared().card.left_out == {"images in cat": 8, "images in test": 8}


def test_a_class_may_be_called_train(root: Path) -> None:
    write_class_folders(root, pictures(16, size=8), ["bus", "train"] * 8)
    assert prepared().card.class_names == ("bus", "train")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_are_turned_upright(root: Path, kind: str, orientation: int) -> None:
    write(root)
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (root / "cat/00000.png").unlink()
    file = root / "cat" / f"00000.{kind.lower()}"
    Image.fromarray(pixels).save(file, kind, exif=exif, quality=100)
    dataset = prepared()
    every = np.concatenate([dataset.train_images, dataset.test_images]).astype(int)
    upright = np.rot90(pixels, {1: 0, 3: 2, 6: 3, 8: 1}[orientation]).astype(int)
    assert min(np.abs(image - upright).max() for image in every) < 40


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_deep_grey_images_are_refused_with_a_remedy(root: Path, kind: type) -> None:
    write(root)
    ending = "png" if kind is np.uint16 else "tiff"
    Image.fromarray(np.full((8, 8), 300, kind)).save(root / "cat" / f"deep.{ending}")
    assert "expected: 8 bits a channel; try: convert such images first" in refused()


def test_brackets_markup_and_home_in_names_stay_what_they_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ["[b]<script>", "$x_{$"]
    images = pictures(16, size=8)
    write_class_folders(root / "a[1]", images, [odd[i] for i in NUMBERS])
    assert prepared(root="source/a[1]").card.class_names == tuple(sorted(odd))
    write_parquet(root / "p[1]/train.parquet", images, label=NUMBERS)
    assert prepared("parquet", root="source/p[1]").card.n_train == 12
    monkeypatch.setenv("HOME", str(root))
    assert prepared(root="~/a[1]").card.n_train == 12
    assert "~nobody-here" in refused(root="~nobody-here/x")


# Parquet files


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.parquet", "test.parquet"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("train/0000.parquet", "validation/0000.parquet"),
        ("train-00000-of-00001-0a1b2c.parquet", "validation-00000-of-00001-99.parquet"),
        ("Train.parquet", "VALID.parquet"),
    ],
)
def test_parquet_is_found_where_hubs_put_it(root: Path, train: str, test: str) -> None:
    write_parquet(root / train, pictures(16, size=8), label=NUMBERS)
    write_parquet(root / test, pictures(4, 1, size=8), label=NUMBERS[:4])
    (root / train).with_name("._train.parquet").touch()
    dataset = prepared("parquet")
    assert (dataset.card.n_train, dataset.card.n_test, dataset.card.left_out) == (16, 4, {})
    np.testing.assert_array_equal(dataset.test_images, pictures(4, 1, size=8))


def test_parquet_parts_that_are_not_used_are_counted_and_can_be_chosen(root: Path) -> None:
    for name, n in (("train", 16), ("test", 4), ("validation", 6), ("extra", 2)):
        write_parquet(root / f"{name}.parquet", pictures(n, size=8), label=NUMBERS[:n])
    assert prepared("parquet").card.left_out == {
        "Parquet files of validation": 1,
        "Parquet files of no part": 1,
    }
    assert prepared("parquet", test_part="validation").card.n_test == 6
    assert prepared("parquet", test_part="none").card.n_test == 4


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00003", "train-00002-of-00003"], "no shard 1 of"),
        (["train-00001-of-00002"], "no shard 0 of"),
        (["train-00000-of-00001", "train-00000-of-00001 (1)"], "shard 0 twice"),
        (["train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"], "two sets of"),
        (["train/0000", "train/0002"], "no shard 1 of"),
        (["train-0", "train-1", "train-3"], "no shard 2 of"),
        (["fine/train", "coarse/train"], "root: "),
        (["train", "val", "validation"], "test_part: val"),
    ],
)
def test_parquet_that_is_incomplete_or_there_twice_is_refused(
    root: Path, names: list[str], message: str
) -> None:
    for name in names:
        write_parquet(root / f"{name}.parquet", pictures(16, size=8), label=NUMBERS)
    assert message in refused("parquet")


def test_one_shard_of_several_is_not_the_data_set(root: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002"):
        write_parquet(root / f"{name}.parquet", pictures(16, size=8), label=NUMBERS)
    assert "name the folder" in refused("parquet", root="source/train-00001-of-00002.parquet")


def test_files_by_year_may_have_gaps(root: Path) -> None:
    for name in ("train-2019", "train-2022"):
        write_parquet(root / f"{name}.parquet", pictures(16, size=8), label=NUMBERS)
    assert prepared("parquet").card.n_train + prepared("parquet").card.n_test == 32


def test_rows_without_a_whole_image_are_left_out_and_names_kept(root: Path) -> None:
    contents: list[bytes | None] = [encoded(pixels) for pixels in pictures(16, size=8)]
    contents[3], contents[8] = b"no image", None
    rows = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(contents)]
    pl.DataFrame({"image": rows, "label": NUMBERS}).write_parquet(root / "train.parquet")
    dataset = prepared("parquet", on_bad_image="skip")
    assert dataset.card.left_out == {"images that cannot be decoded": 2}
    assert dataset.train_files is not None
    for file, pixels in zip(dataset.train_files, dataset.train_images, strict=True):
        np.testing.assert_array_equal(pixels, pictures(16, size=8)[int(file.split(".")[0])])
    assert "image of row 3, train.parquet cannot be decoded" in refused("parquet")
