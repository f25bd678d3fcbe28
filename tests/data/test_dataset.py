"""The prepared form of a data set: settings, digits, writing, loading, checking."""

import datetime
import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.config import validated
from pipeline.data.arrays import pixel_statistics
from pipeline.data.data_spec import BUILT_IN, DataSpec
from pipeline.data.dataset import DataCard, Dataset, load_card, load_dataset, prepare_dataset
from pipeline.data.readers import digits
from pipeline.errors import LabError
from pipeline.files import replacing_folder


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def card() -> DataCard:
    """The card of the digits, prepared."""
    return prepare_dataset("digits", BUILT_IN["digits"])


def files_under(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


# Settings


def test_labels_of_own_files_are_given_and_of_benchmarks_clean() -> None:
    assert DataSpec(kind="parquet", image_size=32).labels == "given"
    assert DataSpec(kind="imagefolder", image_size=32, labels="clean").labels == "clean"
    assert BUILT_IN["cifar10"].labels == "clean"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"kind": "mnist"}, "digits"),
        ({"kind": "digits", "rot": "/x"}, "rot"),
        ({"kind": "imagefolder", "root": "x"}, "needs image_size"),
        ({"kind": "cifar10", "image_size": 32}, "image_size means nothing to kind cifar10"),
        ({"kind": "cifar10", "labels": "given"}, "labels means nothing to kind cifar10"),
        ({"kind": "digits", "test_rate": 1.0}, "test_rate"),
        (
            {"kind": "parquet", "image_size": 8, "labels": "clean", "clean_column": "c"},
            "clean_column goes with",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DataSpec.model_validate(settings)


@pytest.mark.parametrize("kind", ["digits", "cifar10", "imagefolder", "parquet"])
def test_settings_survive_being_written_and_read(kind: str) -> None:
    own = kind in ("imagefolder", "parquet")
    spec = DataSpec.model_validate({"kind": kind, "image_size": 16 if own else None})
    assert DataSpec.model_validate(spec.model_dump()) == spec


ODD: list[Any] = [
    [], {}, [1], {"a": 1}, set(), None, True, False, -1, 0, 10**9, 10**400, 1e300, float("nan"),
    float("inf"), "", "x" * 40_000, "a\0b", "[/b]", "digits", 0.5, datetime.date(2026, 1, 1), b"x",
]  # fmt: skip


@pytest.mark.parametrize("name", list(DataSpec.model_fields))
@pytest.mark.parametrize("kind", ["imagefolder", "parquet", "webvision", "cifar10"])
def test_values_of_any_type_are_one_line_or_can_be_used(name: str, kind: str) -> None:
    own = {"image_size": 8} if kind in ("imagefolder", "parquet") else {}
    for value in ODD:
        settings = {"kind": kind, "root": "nothing-here", **own, name: value}
        with pytest.raises(LabError) as caught:
            prepare_dataset("mine", validated(DataSpec, settings, "params.yaml: datasets.mine"))
        assert "\n" not in str(caught.value)
        assert "; expected: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("image_size", [0, 2049, 10**9, True, "32", 32.0]),
        ("cache_size", [255, 4097, True]),
        ("test_rate", [0, 1, -0.1, True, "0.2", float("nan")]),
        ("n_classes", [1, 1001, True, 50.0]),
        ("root", ["", "a\0b", 7, ["a"]]),
        ("complete", ["yes", 1]),
    ],
)
def test_numbers_have_bounds_and_types(name: str, values: list[Any]) -> None:
    kind = "imagefolder" if name in ("image_size", "test_rate") else "webvision"
    own = {"image_size": 8} if kind == "imagefolder" else {}
    for value in values:
        with pytest.raises(ValidationError):
            DataSpec.model_validate({"kind": kind, **own, name: value})


# Digits


def test_digits_have_the_documented_form_and_content(card: DataCard) -> None:
    dataset = load_dataset("digits", verify=True)
    assert (card.n_train, card.n_test, card.n_classes, card.image_shape) == (
        1437,
        360,
        10,
        (8, 8, 1),
    )
    assert dataset.train_images.shape == (1437, 8, 8, 1)
    assert isinstance(dataset.train_images, np.memmap)
    assert dataset.train_images.dtype == np.uint8
    assert dataset.train_labels.dtype == np.int64
    assert dataset.card == card
    # The split and the pixels are part of every result: they may never drift.
    assert card.digest == "6d8bba9f6ad93c00"


def test_digits_are_split_without_loss_in_the_proportions_of_the_classes(card: DataCard) -> None:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    dataset = load_dataset("digits")
    images = np.concatenate([dataset.train_images, dataset.test_images]).reshape(1797, 64)
    whole = np.rint(values * 255 / 16).astype(np.uint8)
    assert sorted(image.tobytes() for image in images) == sorted(image.tobytes() for image in whole)
    shares = np.bincount(dataset.test_labels) / np.bincount(labels)
    assert np.all(np.abs(shares - 0.2) < 0.01)


def test_test_rate_of_digits_can_be_chosen() -> None:
    assert prepare_dataset("half", DataSpec(kind="digits", test_rate=0.5)).n_test == 899


# Preparing


def test_preparing_twice_gives_the_same_card_and_leaves_nothing_else(
    card: DataCard, root: Path
) -> None:
    before = files_under(root)
    assert prepare_dataset("digits", BUILT_IN["digits"]) == card
    assert files_under(root) == before
    visible = [file for file in before if not file.startswith("data/.")]
    assert {Path(file).parent for file in visible} == {Path("data/digits")}
    assert str(root) not in (root / "data/digits/card.json").read_text()


@pytest.mark.parametrize(
    "name",
    ["", "..", "../digits", "a/b", ".hidden", "a b", "digits.v2", "no", "x;touch y", 7, None],
)
def test_names_that_are_no_folder_names_are_refused(name: str, root: Path) -> None:
    with pytest.raises(LabError, match="data set name"):
        prepare_dataset(name, BUILT_IN["digits"])
    with pytest.raises(LabError, match="data set name"):
        load_dataset(name)
    assert files_under(root) == []


def test_full_disk_leaves_the_old_data_set(
    card: DataCard, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = files_under(root)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        prepare_dataset("digits", DataSpec(kind="digits", test_rate=0.5))
    assert files_under(root) == before
    assert load_dataset("digits", verify=True).card == card


def test_folder_of_a_killed_writer_is_replaced(card: DataCard, root: Path) -> None:
    for leftover in (".digits.new", ".digits.old"):
        (root / "data" / leftover).mkdir()
        (root / "data" / leftover / "train_images.npy").write_bytes(b"half")
    prepare_dataset("digits", BUILT_IN["digits"])
    assert load_dataset("digits", verify=True).card == card
    assert not list((root / "data").glob(".digits.[no]*"))


def test_folder_that_is_a_link_is_replaced_and_its_target_spared(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "elsewhere" / "kept").touch()
    (root / "place").symlink_to(root / "elsewhere")
    with replacing_folder(root / "place") as new:
        (new / "file").touch()
    assert files_under(root / "place") == ["file"]
    assert (root / "elsewhere" / "kept").exists()


def test_labels_out_of_range_and_absent_classes_are_refused() -> None:
    source = digits.read_digits(BUILT_IN["digits"])
    names = source.class_names
    with pytest.raises(LabError, match="label 9 of train row"):
        replace(source, class_names=names[:9])
    with pytest.raises(LabError, match="class 'ten' has no training image"):
        replace(source, class_names=(*names, "ten"))
    nothing = source.test.take(np.arange(0))
    with pytest.raises(LabError, match="no test images"):
        replace(source, test=nothing)


# Loading


def test_loading_does_not_pay_for_the_readers() -> None:
    code = "import sys, pipeline.data.dataset; print(*sys.modules)"
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "sklearn", "pyarrow", "PIL"} & set(words.stdout.split())


def test_absent_data_set_says_what_to_type(card: DataCard) -> None:
    with pytest.raises(LabError) as caught:
        load_dataset("digitz")
    assert str(caught.value) == (
        "data set 'digitz' is not prepared; expected: one of: digits; "
        "try: uv run python -m pipeline.stages.data digitz"
    )


@pytest.mark.parametrize(
    "name", ["train_images.npy", "test_images.npy", "train_labels.npy", "test_labels.npy"]
)
@pytest.mark.parametrize("length", [None, 0, 50, -1])
def test_missing_or_cut_file_is_named(
    card: DataCard, root: Path, name: str, length: int | None
) -> None:
    file = root / "data/digits" / name
    content = file.read_bytes()
    file.unlink()
    if length is not None:
        file.write_bytes(content[:length])
    with pytest.raises(LabError, match=f"{name} is .*stages.data digits"):
        load_dataset("digits")


def test_files_that_do_not_fit_the_card_are_refused(card: DataCard, root: Path) -> None:
    folder = root / "data/digits"
    labels = np.load(folder / "train_labels.npy")
    for wrong, word in (
        (labels[:-1], "holds int64"),
        (labels.astype(np.int32), "holds int32"),
        (labels + 1, "outside 0 to 9"),
        (labels - 1, "outside 0 to 9"),
    ):
        np.save(folder / "train_labels.npy", wrong)
        with pytest.raises(LabError, match=word):
            load_dataset("digits")


@pytest.mark.parametrize("change", [{"n_train": "many"}, {"digest": None}, {"kind": "mnist"}])
def test_damaged_card_is_refused(card: DataCard, root: Path, change: dict[str, object]) -> None:
    file = root / "data/digits/card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(LabError, match=r"card\.json is damaged"):
        load_dataset("digits")


def test_one_changed_pixel_or_swapped_pair_is_found(card: DataCard, root: Path) -> None:
    file = root / "data/digits/test_images.npy"
    images = np.load(file)
    for changed in (
        np.bitwise_xor(images, np.arange(360 * 64).reshape(images.shape) == 77),
        images[[1, 0, *range(2, 360)]],
    ):
        np.save(file, changed.astype(np.uint8))
        with pytest.raises(LabError, match="digest"):
            load_dataset("digits")
        assert load_card("digits") == card


def test_clean_labels_are_the_labels_the_stored_ones_or_unknown(card: DataCard) -> None:
    clean = load_dataset("digits")
    assert clean.train_clean_labels is clean.train_labels
    given = Dataset(
        replace(card, labels="given"),
        clean.train_images,
        clean.train_labels,
        clean.test_images,
        clean.test_labels,
    )
    assert given.train_clean_labels is None


@pytest.mark.parametrize("n_channels", [1, 3])
def test_pixel_statistics_are_those_of_numpy(n_channels: int) -> None:
    shape = (5000, 30, 31, n_channels)
    images = np.random.default_rng(3).integers(0, 200, shape, dtype=np.uint8)
    mean, std = pixel_statistics(images)
    scaled = images / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(std, scaled.std(axis=(0, 1, 2)), rtol=1e-9)
