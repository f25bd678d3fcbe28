"""Images below one folder whose labels a file names: by path or index, in CSV, JSON, Parquet."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.data.facts import is_current
from pipeline.errors import LabError
from tests.support.data_files import encoded, pictures

IMAGES = pictures(30, size=8)
FILES = [f"{'ab'[number % 2]}/{number:02}.png" for number in range(30)]
ORDER = np.argsort(FILES)
NAMES = np.array(["cat", "dog", "eel"] * 10)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with thirty images in two folders that mean nothing."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    for file, pixels in zip(FILES, IMAGES, strict=True):
        (tmp_path / "pictures" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / file).write_bytes(encoded(pixels))
    return tmp_path


def spec(file: str, **settings: Any) -> DataSpec:
    given = {"kind": "imagefolder", "root": "pictures", "image_size": 8, "label_file": file}
    return DataSpec.model_validate(given | settings)


def prepared(file: str, **settings: Any) -> Dataset:
    prepare_dataset("mine", spec(file, **settings))
    return load_dataset("mine", verify=True)


def by_name() -> pl.DataFrame:
    return pl.DataFrame({"file": FILES, "label": NAMES}).sample(fraction=1, shuffle=True, seed=0)


def by_index() -> pl.DataFrame:
    """The same labels, by position in the order of the paths, as class ids."""
    ids = np.searchsorted(np.unique(NAMES), NAMES)[ORDER]
    return pl.DataFrame({"index": np.arange(30), "label": ids})


WRITERS: dict[str, Callable[[Path], object]] = {
    "names.csv": lambda path: by_name().write_csv(path),
    "names.tsv": lambda path: by_name().write_csv(path, separator="\t"),
    "names.parquet": lambda path: by_name().write_parquet(path),
    "names.json": lambda path: path.write_text(json.dumps(dict(by_name().iter_rows()))),
    "rows.json": lambda path: path.write_text(json.dumps(by_name().to_dicts())),
    "index.csv": lambda path: by_index().write_csv(path),
    "index.parquet": lambda path: by_index().write_parquet(path),
    "index.json": lambda path: path.write_text(json.dumps(dict(by_index().iter_rows()))),
}


@pytest.mark.parametrize("file", WRITERS)
def test_labels_are_joined_to_their_images(root: Path, file: str) -> None:
    WRITERS[file](root / file)
    dataset = prepared(file)
    assert (dataset.card.n_train, dataset.card.n_test, dataset.card.labels) == (24, 6, "given")
    assert dataset.train_files is not None
    of_file = dict(zip(FILES, zip(IMAGES, NAMES, strict=True), strict=True))
    classes = np.unique(NAMES)
    for name, pixels, label in zip(
        dataset.train_files, dataset.train_images, dataset.train_labels, strict=True
    ):
        assert (pixels == of_file[name][0]).all()
        assert classes[label] == of_file[name][1]


@pytest.mark.parametrize(
    "parts",
    [
        pl.Series("split", ["train"] * 20 + ["test"] * 6 + ["extra"] * 4),
        pl.Series("is_test", [False] * 20 + [True] * 10),
    ],
    ids=lambda column: column.name,
)
def test_a_column_says_what_is_for_training_and_what_for_testing(
    root: Path, parts: pl.Series
) -> None:
    pl.DataFrame({"file": FILES, "label": NAMES, parts.name: parts}).write_csv(root / "l.csv")
    dataset = prepared("l.csv")
    assert set(dataset.train_files or ()) == set(FILES[:20])
    left_out = {"images of other parts": 4} if parts.name == "split" else {}
    assert dataset.card.left_out == left_out
    assert dataset.card.n_test == 10 - len(left_out) * 4
    held_out = prepared("l.csv", test_part="none", test_rate=0.25)
    assert (held_out.card.n_train, held_out.card.n_test) == (15, 5)


def test_true_labels_judge_the_test_images(root: Path) -> None:
    given = np.roll(NAMES, 1)
    frame = pl.DataFrame({"file": FILES, "given": given, "true": NAMES})
    frame.head(24).write_csv(root / "l.csv")
    dataset = prepared("l.csv", label_column="given", clean_column="true")
    assert dataset.card.left_out == {"images without a label": 6}
    assert dataset.train_clean_labels is not None
    names = dict(zip(FILES, NAMES, strict=True))
    for name, true in zip(dataset.train_files or (), dataset.train_clean_labels, strict=True):
        assert dataset.card.class_names[true] == names[name]
    assert (dataset.train_labels != dataset.train_clean_labels).all()


def test_a_changed_file_of_labels_is_read_again(root: Path) -> None:
    by_name().write_csv(root / "l.csv")
    card = prepared("l.csv").card
    assert is_current(card, spec("l.csv"))
    by_name().with_columns(label=pl.lit("cat")).write_csv(root / "l.csv")
    assert not is_current(card, spec("l.csv"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\n00.png,cat\n00.png,dog\n", "gives image '00.png' two labels, in line 2 and"),
        ("file,label\n00.png,cat\nxx.png,dog\n", "1 of 2 rows name no .*; line 3 says 'xx.png'"),
        ("file,label\n00.png,cat\n01.png,\n", "l.csv line 3 holds no label"),
        ("file,label\n00.png,0\n01.png,7\n", "holds labels from 0 to 7; .*from 0 without a gap"),
        ("label\ncat\ndog\n", "l.csv does not say which image a row is about"),
        ("index,label\n0,cat\n30,dog\n", "names image 30; expected: positions from 0 to 29"),
        (
            "file,one,two\n00.png,0,1\n01.png,1,0\n",
            "several columns; .*: one, two; .*label_col",
        ),
    ],
)
def test_rows_that_cannot_be_joined_are_named(root: Path, text: str, words: str) -> None:
    (root / "l.csv").write_text(text)
    with pytest.raises(LabError, match=words) as caught:
        prepared("l.csv")
    assert "\n" not in str(caught.value)


def test_columns_without_a_file_of_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="go with label_file"):
        DataSpec(kind="imagefolder", root="x", image_size=8, label_column="given")
