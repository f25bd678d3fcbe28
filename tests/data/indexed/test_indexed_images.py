"""Large data sets: broken and missing images, resized copies, and what the rest makes of them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from pipeline.config import Params
from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.data.images.decoded import DecodedImages
from pipeline.data.images.image_files import resize_copies
from pipeline.data.images.transforms import TRANSFORMS, Resize
from pipeline.errors import LabError
from pipeline.files import data_folder
from pipeline.runs.inputs.shelf import Shelf
from pipeline.runs.settings.specs import noise_spec
from tests.support.large_data_files import POOL, write_clothing, write_list, write_webvision

CLOTHING = {"kind": "clothing1m", "root": "source", "complete": False}
MINI = {"kind": "webvision", "n_classes": 50}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the images, in a project that is empty but for it."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def prepared(**settings: Any) -> Dataset:
    prepare_dataset("large", DataSpec.model_validate({**CLOTHING, **settings}))
    return load_dataset("large", verify=True)


def refused(**settings: Any) -> str:
    with pytest.raises(LabError) as caught:
        prepared(**settings)
    assert not (data_folder("large")).exists()
    return str(caught.value)


def bad_images() -> dict[str, str]:
    """Reason by path of the images that were left out."""
    bad = pl.read_parquet(data_folder("large") / "bad.parquet").filter(pl.col("list").is_null())
    return dict(zip(bad["path"], bad["reason"], strict=True))


# Broken images


def test_missing_and_empty_images_stop_or_are_skipped(root: Path) -> None:
    keys = write_clothing(root)
    missing, empty, tested = keys["train"][3], keys["train"][40], keys["test"][0]
    (root / missing).unlink()
    (root / empty).write_bytes(b"")
    (root / tested).unlink()
    message = refused()
    assert "3 image(s) of clothing1m cannot be used" in message
    assert missing in message
    assert "on_bad_image: skip" in message
    dataset = prepared(on_bad_image="skip")
    assert bad_images() == {missing: "missing", empty: "empty", tested: "missing"}
    assert dataset.card.index is not None
    assert (dataset.card.index.n_bad_lines, dataset.card.index.n_bad_images) == (0, 3)
    assert (dataset.card.n_train, dataset.card.n_test) == (40, 27)
    left = [key for key in keys["train"] if key not in (missing, empty)]
    assert dataset.train.paths.tolist() == left
    np.testing.assert_array_equal(dataset.train_labels, np.delete(np.arange(42), [3, 40]) % 14)
    # Without a look at them nothing is missed.
    assert prepared(check_images="none").card.n_train == 42


def test_only_decoding_finds_what_is_cut_short(root: Path) -> None:
    keys = write_clothing(root)
    cut, other = keys["train"][7], keys["val"][9]
    (root / cut).write_bytes(POOL[0][: len(POOL[0]) // 2])
    (root / other).write_text("<html>no longer here</html>")
    assert prepared().card.n_train == 42
    prepared(check_images="decode", on_bad_image="skip")
    found = bad_images()
    assert list(found) == [cut, other]
    assert all("cannot be decoded" in reason for reason in found.values())


def test_a_split_without_any_image_is_refused(root: Path) -> None:
    keys = write_clothing(root)
    for path in keys["val"]:
        (root / path).unlink()
    assert "no val images" in refused(on_bad_image="skip")


def test_a_file_that_breaks_later_is_named_at_training_time(root: Path) -> None:
    keys = write_clothing(root)
    dataset = prepared()
    (root / keys["train"][5]).write_bytes(b"\xff\xd8 nothing")
    for workers in (0, 1):
        images = DecodedImages(
            dataset.train, TRANSFORMS["clothing1m"], (0.5,) * 3, (0.5,) * 3,
            torch.device("cpu"), workers=workers,
        )  # fmt: skip
        made = images.batches([torch.arange(4), torch.arange(4, 8)], ["plain"], [0])
        assert next(made)[0].shape == (4, 3, 224, 224)
        with pytest.raises(LabError) as caught:
            next(made)
        assert str(root / keys["train"][5]) in str(caught.value)
        assert "python -m pipeline.stages.data large" in str(caught.value)


# Resized copies


def test_copies_are_small_say_so_and_have_another_digest(root: Path) -> None:
    keys = write_clothing(root)
    wide = Image.fromarray(np.full((300, 600, 3), 90, np.uint8))
    wide.save(root / keys["train"][0], "PNG")
    digest = prepared().card.digest
    dataset = prepared(cache_size=256)
    assert dataset.card.digest != digest
    assert dataset.card.index is not None
    assert "differ from the published ones" in dataset.card.index.pixels
    with Image.open(dataset.train.file(0)) as copy:
        assert (copy.format, copy.size) == ("JPEG", (512, 256))
    assert dataset.train.paths.tolist() == keys["train"]
    assert str(root) not in str(dataset.train.file(0))
    assert prepared(cache_size=300).card.digest != dataset.card.digest


def test_making_copies_goes_on_where_it_was_stopped(root: Path, tmp_path: Path) -> None:
    keys = write_clothing(root)["train"]
    copies, resize = tmp_path / "copies", Resize("bilinear", "down")
    assert resize_copies(root, keys[:20], copies, 256, resize, "first") == {}
    before = {file: file.stat().st_mtime_ns for file in copies.rglob("*.jpg")}
    half = copies / keys[30]
    half.parent.mkdir(parents=True, exist_ok=True)
    half.with_name(f".{half.name}.0.tmp").write_bytes(b"half a copy")
    (root / keys[0]).unlink()
    (root / keys[41]).write_bytes(b"no image")
    found = resize_copies(root, keys, copies, 256, resize, "second")
    assert list(found) == [41]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert sum(not file.name.startswith(".") for file in copies.rglob("*.jpg")) == 41


def test_a_copy_of_an_image_that_changed_is_made_anew(root: Path) -> None:
    keys = write_clothing(root)
    before = Path(prepared(cache_size=256).train.file(0)).read_bytes()
    Image.fromarray(np.full((300, 300, 3), 90, np.uint8)).save(root / keys["train"][0], "JPEG")
    dataset = prepared(cache_size=256)
    with Image.open(dataset.train.file(0)) as copy:
        assert np.asarray(copy).max() < 95
    assert Path(dataset.train.file(0)).read_bytes() != before


# What the rest of the laboratory makes of them


def test_a_changed_table_is_noticed(root: Path) -> None:
    write_clothing(root)
    prepared()
    file = data_folder("large") / "train.parquet"
    frame = pl.read_parquet(file)
    frame.with_columns(pl.col("path").reverse()).write_parquet(file)
    with pytest.raises(LabError, match="its content has digest"):
        load_dataset("large", verify=True)
    frame.with_columns(pl.col("y_noisy") + 1).write_parquet(file)
    with pytest.raises(LabError, match="a label outside 0 to 13"):
        load_dataset("large")
    frame.head(20).write_parquet(file)
    with pytest.raises(LabError, match="does not number 42 rows"):
        load_dataset("large")
    file.write_bytes(b"")
    with pytest.raises(LabError, match="python -m pipeline.stages.data large"):
        load_dataset("large")


def test_labels_as_given_become_a_table(root: Path) -> None:
    write_clothing(root)
    dataset = prepared()
    params = Params(datasets={"large": CLOTHING})
    table = Shelf(params).table("large", "clean", noise_spec("large", "clean", params))
    np.testing.assert_array_equal(table.y_noisy, dataset.train_labels)
    assert table.y_clean is None
    assert table.card.realised_rate is None
    with pytest.raises(LabError, match="images stay in files of their own"):
        _ = dataset.train_images


def test_two_thousand_images_with_every_kind_of_fault(root: Path) -> None:
    train = write_webvision(root, per_class=44)
    file = root / "info/train_filelist_google.txt"
    wrong = ["google/q0001/x.jpg 1000", "google/q0001/x.jpg", f"{train[0]} 0", "", "  "]
    write_list(file, [*file.read_text().split("\n")[:-1], *wrong], end="\r\n", last=False)
    draw = np.random.default_rng(5)
    faulty = draw.choice(len(train), 60, replace=False)
    missing, cut, text = np.sort(faulty[:20]), np.sort(faulty[20:40]), np.sort(faulty[40:])
    for position in missing:
        (root / train[position]).unlink()
    for position in cut:
        content = (root / train[position]).read_bytes()
        (root / train[position]).write_bytes(content[: len(content) // 2])
    for position in text:
        (root / train[position]).write_text("<html></html>")
    dataset = prepared(**MINI, on_bad_image="skip", check_images="decode")
    good = np.setdiff1d(np.arange(len(train)), faulty)
    assert dataset.train.paths.tolist() == [train[position] for position in good]
    np.testing.assert_array_equal(dataset.train_labels, good % 50)
    facts = dataset.card.index
    assert facts is not None
    assert (facts.n_bad_lines, facts.n_bad_images) == (3, 60)
    reasons = bad_images()
    assert {path for path, reason in reasons.items() if reason == "missing"} == {
        train[position] for position in missing
    }
    decoded = DecodedImages(
        dataset.train, TRANSFORMS["webvision-dal"], (0.5,) * 3, (0.5,) * 3, torch.device("cpu"),
        workers=2,
    )  # fmt: skip
    order = torch.from_numpy(draw.permutation(len(good))[:200])
    made = [batch for (batch,) in decoded.batches(order.split(64), ["plain"], [0])]
    assert [len(batch) for batch in made] == [64, 64, 64, 8]
    first = Image.open(io.BytesIO((root / train[good[order[0]]]).read_bytes()))
    colour = np.asarray(first.convert("RGB")).mean() / 255 * 2 - 1
    assert made[0][0].mean().item() == pytest.approx(colour, abs=0.05)
