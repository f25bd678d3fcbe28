"""CIFAR from archives and Parquet files, and the reader of pickles that runs nothing."""

import hashlib
import os
import pickle
import re
import tarfile
import urllib.error
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.data.data_spec import BUILT_IN, DataKind, DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.data.readers import cifar, cifar_archive
from pipeline.errors import LabError
from tests.support.data_files import Array, Call, pictures, write_batch, write_parquet

TRAIN, TEST = pictures(50), pictures(20, seed=1)
KINDS: list[DataKind] = ["cifar10", "cifar100"]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project in which the two data sets have 50 and 20 images of ten classes."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    for kind in KINDS:
        tiny = replace(cifar.LAYOUTS[kind], n_train=50, n_test=20)
        monkeypatch.setitem(cifar.LAYOUTS, kind, replace(tiny, class_names=tiny.class_names[:10]))
    # The checksums are torchvision's; a stand-in spares most tests from loading it.
    monkeypatch.setattr(cifar_archive, "official", lambda kind: checksums_of(kind, b"other"))
    return tmp_path


def checksums_of(kind: str, *contents: bytes) -> SimpleNamespace:
    """What torchvision says about an archive whose files have these contents, in order."""
    layout = cifar.LAYOUTS[kind]
    names = (*layout.train_files, *layout.test_files)
    padded = contents + contents[-1:] * (len(names) - len(contents))
    sums = [hashlib.md5(content).hexdigest() for content in padded]
    n_train = len(layout.train_files)
    pairs = [list(pair) for pair in zip(names, sums, strict=True)]
    return SimpleNamespace(train_list=pairs[:n_train], test_list=pairs[n_train:])


def labels_of(n: int) -> list[int]:
    return [(7 * row + row // 10) % 10 for row in range(n)]


def write_archive(kind: str, folder: Path) -> list[Path]:
    """Write the tiny data set as its archive unpacks; the files, train before test."""
    layout = cifar.LAYOUTS[kind]
    key = layout.label_key.encode()
    n_parts = len(layout.train_files)
    for part, name in enumerate(layout.train_files):
        rows = slice(part * 50 // n_parts, (part + 1) * 50 // n_parts)
        write_batch(folder / name, TRAIN[rows], labels_of(50)[rows], key)
    write_batch(folder / layout.test_files[0], TEST, labels_of(20), key)
    return [folder / name for name in (*layout.train_files, *layout.test_files)]


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return archive


def prepared(kind: DataKind, root: Path) -> Dataset:
    prepare_dataset(kind, DataSpec(kind=kind, root=str(root)))
    dataset = load_dataset(kind, verify=True)
    np.testing.assert_array_equal(dataset.train_images, TRAIN)
    np.testing.assert_array_equal(dataset.test_images, TEST)
    np.testing.assert_array_equal(dataset.train_labels, labels_of(50))
    np.testing.assert_array_equal(dataset.test_labels, labels_of(20))
    assert dataset.train_clean_labels is dataset.train_labels
    return dataset


def refused(kind: DataKind, root: Path) -> str:
    """The message of a refusal, after which no data set may be there."""
    with pytest.raises(LabError) as caught:
        prepare_dataset(kind, DataSpec(kind=kind, root=str(root)))
    assert not (root.parent / "data" / kind).exists()
    return str(caught.value)


# Archives


@pytest.mark.parametrize("kind", KINDS)
def test_archive_is_found_as_folder_parent_file_or_beside(root: Path, kind: DataKind) -> None:
    layout = cifar.LAYOUTS[kind]
    folder = root / "source" / layout.folder
    write_archive(kind, folder)
    (root / "tar").mkdir()
    archive = packed(folder, root / "tar" / layout.archive)
    for place in (folder, folder.parent, archive, archive.parent):
        prepared(kind, place)
    prepared(kind, folder.rename(root / "renamed"))


def test_source_says_whether_the_checksums_are_official(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_archive("cifar10", root / "source/cifar-10-batches-py")
    assert "not the official" in prepared("cifar10", root / "source").card.source
    known = checksums_of("cifar10", *(file.read_bytes() for file in files))
    monkeypatch.setattr(cifar_archive, "official", lambda kind: known)
    card = prepared("cifar10", root / "source").card
    assert card.source == "official python archive, checksums verified"


def test_unfit_archives_are_refused(root: Path) -> None:
    folder = root / "source/cifar-10-batches-py"
    files = write_archive("cifar10", folder)
    content = files[2].read_bytes()
    images, labels = TRAIN[20:30], labels_of(50)[20:30]

    files[2].write_bytes(content[:-100])
    assert re.match("data_batch_3 of .* cannot be read", refused("cifar10", root / "source"))
    write_batch(files[2], images[:9], labels[:9], b"labels")
    assert "49 train images; expected: 50, the whole data set" in refused(
        "cifar10", root / "source"
    )
    write_batch(files[2], images, labels[:9], b"labels")
    assert "has no 'labels', one number per image" in refused("cifar10", folder)
    write_batch(files[2], images, labels, b"fine_labels")
    assert "has no 'labels'" in refused("cifar10", folder)
    write_batch(files[2], images, [10, *labels[1:]], b"labels")
    assert "label 10 of train row 20; expected: labels 0 to 9" in refused("cifar10", folder)
    write_batch(files[2], images[:, :16], labels, b"labels")
    assert "has no 'data' of 3072 values a row" in refused("cifar10", folder)
    files[2].unlink()
    assert "no file data_batch_3 in" in refused("cifar10", folder)


def test_damaged_tar_is_refused(root: Path) -> None:
    write_archive("cifar10", root / "cifar-10-batches-py")
    archive = packed(root / "cifar-10-batches-py", root / "copy.tar.gz")
    content = archive.read_bytes()
    wrong_sum = content[:-8] + bytes(4) + content[-4:]
    for damaged in (content[:-5000], content[:5000] + bytes(500), wrong_sum, b"", b"no tar"):
        archive.write_bytes(damaged)
        assert "copy.tar.gz" in refused("cifar10", archive)


def test_empty_root_lists_what_may_lie_there(root: Path) -> None:
    (root / "source").mkdir()
    assert (
        "cifar-100-python.tar.gz, cifar-100-python, or train.parquet and test.parquet; "
        "try: give root:"
    ) in refused("cifar100", root / "source")


def test_malicious_archive_leaves_nothing(root: Path) -> None:
    folder = root / "source/cifar-10-batches-py"
    files = write_archive("cifar10", folder)
    files[4].write_bytes(pickle.dumps(Call(os.mkdir, str(root / "mark")), protocol=2))
    message = refused("cifar10", root / "source")
    assert re.search(r"data_batch_5 of .* is a pickle that asks for posix\.mkdir", message)
    assert [entry.name for entry in root.iterdir()] == ["source"]


# Parquet


@pytest.mark.parametrize(
    ("kind", "image", "label"),
    [("cifar10", "image", "label"), ("cifar10", "img", "label"), ("cifar100", "img", "fine_label")],
)
def test_parquet_of_hubs_is_read(root: Path, kind: DataKind, image: str, label: str) -> None:
    folder = root / "source/data"
    for part, pixels in (("train", TRAIN), ("test", TEST)):
        labels = {label: labels_of(len(pixels)), "coarse_label": [0] * len(pixels)}
        write_parquet(folder / f"{part}-00000-of-00001.parquet", pixels, image, **labels)
    prepared(kind, root / "source")
    prepared(kind, folder)


def write_shuffled(folder: Path, index: Array | None = None) -> None:
    for part, pixels in (("train", TRAIN), ("test", TEST)):
        order = np.random.default_rng(5).permutation(len(pixels))
        labels = np.array(labels_of(len(pixels)))[order]
        given = order if index is None else index[: len(pixels)]
        write_parquet(folder / f"{part}.parquet", pixels[order], label=labels, index=given)


def test_rows_are_sorted_by_index_and_bad_numbering_is_refused(root: Path) -> None:
    write_shuffled(root / "source")
    prepared("cifar100", root / "source")
    write_shuffled(root / "other", index=np.arange(1, 51))
    with pytest.raises(LabError, match="does not number the images; expected: 0 to 49, each once"):
        prepare_dataset("again", DataSpec(kind="cifar10", root=str(root / "other")))


def test_parquet_of_other_images_is_refused(root: Path) -> None:
    folder = root / "source"
    write_parquet(folder / "test.parquet", TEST, label=labels_of(20))
    write_parquet(folder / "train.parquet", TRAIN[:49], label=labels_of(49))
    assert "49 train images; expected: 50, the whole data set" in refused("cifar10", folder)
    write_parquet(folder / "train.parquet", pictures(50, size=28), label=labels_of(50))
    assert "is 28x28; expected: 32x32" in refused("cifar10", folder)
    write_parquet(folder / "train.parquet", TRAIN, "photo", label=labels_of(50))
    assert "a column image or img" in refused("cifar10", folder)


# Download


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every download fails as it does without a network."""
    from torchvision.datasets import utils

    def unreachable(*args: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.undo()
    monkeypatch.setattr(utils, "download_url", unreachable)


@pytest.mark.parametrize("kind", KINDS)
def test_without_network_the_ways_out_are_named(
    no_network: None, kind: DataKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    with pytest.raises(LabError) as caught:
        prepare_dataset(kind, BUILT_IN[kind])
    message, layout = str(caught.value), cifar.LAYOUTS[kind]
    for word in (
        "Name or service not known",
        layout.archive,
        layout.folder,
        "train.parquet",
        f"python -m pipeline.stages.data {kind} --root FOLDER",
        "params.yaml",
    ):
        assert word in message
    assert not (tmp_path / "data").exists()


def test_layouts_are_those_of_the_official_archives(no_network: None) -> None:
    for kind in KINDS:
        layout, known = cifar.LAYOUTS[kind], cifar_archive.official(kind)
        assert (layout.folder, layout.archive) == (known.base_folder, known.filename)
        assert layout.train_files == tuple(name for name, _ in known.train_list)
        assert layout.test_files == tuple(name for name, _ in known.test_list)
        assert (layout.n_train, layout.n_test) == (50_000, 10_000)
        assert len(set(layout.class_names)) == int(kind.removeprefix("cifar"))


def test_downloaded_archive_is_read_and_later_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def download(kind: str, folder: Path) -> Path:
        calls.append(kind)
        write_archive(kind, root / "made" / cifar.LAYOUTS[kind].folder)
        return packed(root / "made" / cifar.LAYOUTS[kind].folder, folder / "archive.tar.gz")

    monkeypatch.setattr(cifar_archive, "download", download)
    card = prepare_dataset("cifar10", BUILT_IN["cifar10"])
    assert prepare_dataset("cifar10", BUILT_IN["cifar10"]) == card
    assert calls == ["cifar10"]
    (root / "data/cifar10/test_images.npy").unlink()
    assert prepare_dataset("cifar10", BUILT_IN["cifar10"]) == card
    assert calls == ["cifar10", "cifar10"]
