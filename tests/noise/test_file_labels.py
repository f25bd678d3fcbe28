"""Labels join their images by index or path, whatever the order of the rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from pipeline.errors import LabError
from pipeline.noise.file_labels import Target, read_labels
from tests.support.noise_cases import balanced

N = 300
LABELS = balanced(N, 5)
NAMES = ("ant", "bee", "cat", "dog", "eel")
FILES = tuple(f"{NAMES[i % 5]}/{i // 5:04d}.png" for i in range(N))
TARGET = Target(N, NAMES, FILES)
ORDER = np.random.default_rng(3).permutation(N)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["index", "idx", "Unnamed: 0", "id"])
def test_an_index_in_any_order_and_with_gaps_is_joined(
    tmp_path: Path, ending: str, column: str
) -> None:
    rows = ORDER[:200]
    frame = pl.DataFrame({column: rows, "noisy": LABELS[rows]})
    path = tmp_path / f"labels.{ending}"
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    found = read_labels(path, None, TARGET)
    assert found.joined == "index"
    assert (found.index == np.sort(rows)).all()
    assert (found.noisy == LABELS[np.sort(rows)]).all()


def test_an_index_without_a_header_is_joined(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("".join(f"{i},{LABELS[i]}\n" for i in ORDER))
    found = read_labels(tmp_path / "labels.csv", "column2", TARGET)
    assert (found.noisy == LABELS).all()


@pytest.mark.parametrize(
    "prefix",
    ["", "./", "train/", "data/mine/train/", "/somewhere/else/train/", "C:\\mine\\train\\"],
)
def test_paths_join_wherever_they_start(tmp_path: Path, prefix: str) -> None:
    rows = "".join(f"{prefix}{FILES[i]},{NAMES[LABELS[i]]}\n" for i in ORDER)
    (tmp_path / "headed.csv").write_text(f"path,noisy\n{rows}")
    (tmp_path / "bare.csv").write_text(rows)
    for name, column in (("headed.csv", None), ("bare.csv", "column2")):
        found = read_labels(tmp_path / name, column, TARGET)
        assert found.joined == "path"
        assert (found.noisy == LABELS).all()


@pytest.mark.parametrize("told_by", ["is_valid", "split", "folder"])
def test_rows_about_other_splits_are_left_out(tmp_path: Path, told_by: str) -> None:
    """As in the published file of Imagenette: one list for all splits, names as labels."""
    folder = [("train", "val")[i % 3 == 0] for i in range(N + 150)]
    of_train = iter(ORDER)
    rows = []
    for i, part in enumerate(folder):
        at = next(of_train) if part == "train" else i % 20
        label = NAMES[LABELS[at]] if part == "train" else ""
        rows.append((f"{part}/{FILES[at]}", label, part == "val", part))
    columns = {"path": 0, "noisy": 1}
    columns |= {} if told_by == "folder" else {told_by: 2 if told_by == "is_valid" else 3}
    frame = pl.DataFrame({name: [str(row[at]) for row in rows] for name, at in columns.items()})
    frame.write_csv(tmp_path / "noisy.csv")
    found = read_labels(tmp_path / "noisy.csv", None, TARGET)
    assert (found.noisy == LABELS).all()
    assert found.left_out == 150


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("name", "values", "joined"),
    [
        ("Datei", FILES, "path"),
        ("图片", [f"train/{file}" for file in FILES], "path"),
        ("Nummer", range(N), "index"),
    ],
)
def test_what_names_images_is_told_by_its_content(
    tmp_path: Path, ending: str, name: str, values: Sequence[str | int], joined: str
) -> None:
    """Shuffled within each class, rows in the order of the file would agree as well."""
    order = ORDER[np.argsort(LABELS[ORDER], kind="stable")]
    frame = pl.DataFrame({name: [values[i] for i in order], "Etikett": LABELS[order]})
    path = tmp_path / f"labels.{ending}"
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    for column in ("Etikett", None):
        found = read_labels(path, column, TARGET)
        assert found.joined == joined
        assert (found.noisy == LABELS).all()


def test_a_column_that_says_train_or_test_splits_whatever_its_name(tmp_path: Path) -> None:
    parts = ["test" if i % 3 == 0 else "train" for i in ORDER]
    columns = {"path": [FILES[i] for i in ORDER], "noisy": LABELS[ORDER], "Menge": parts}
    pl.DataFrame(columns).write_csv(tmp_path / "labels.csv")
    found = read_labels(tmp_path / "labels.csv", None, TARGET)
    assert (found.index == [i for i in range(N) if i % 3]).all()
    assert (found.noisy == LABELS[found.index]).all()


def test_file_names_that_several_images_have_are_not_passed_over(tmp_path: Path) -> None:
    rows = "".join(f"{FILES[i].split('/')[1]},{LABELS[i]}\n" for i in ORDER)
    (tmp_path / "labels.csv").write_text(f"path,noisy\n{rows}")
    with pytest.raises(LabError, match="300 of 300 rows name no training image"):
        read_labels(tmp_path / "labels.csv", "noisy", TARGET)


def test_numbers_that_are_no_positions_are_no_index(tmp_path: Path) -> None:
    columns = {"weight": np.arange(N) + 5000, "noisy": LABELS}
    pl.DataFrame(columns).write_csv(tmp_path / "labels.csv")
    assert read_labels(tmp_path / "labels.csv", "noisy", TARGET).joined == "order"


def test_a_map_from_path_or_index_joins(tmp_path: Path) -> None:
    import json

    path = tmp_path / "labels.json"
    for keys in (FILES, list(map(str, range(N)))):
        path.write_text(json.dumps({keys[i]: int(LABELS[i]) for i in ORDER}))
        assert (read_labels(path, None, TARGET).noisy == LABELS).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("index,noisy\n0,1\n1,2\n0,1\n", "image '0' two labels, in line 2 and line 4"),
        ("index,noisy\n0,1\n300,2\n", "line 3 names image 300; expected: positions from 0 to 299"),
        ("index,noisy\n-1,1\n3,2\n", "line 2 names image -1"),
        (
            f"path,noisy\n{FILES[0]},1\n{FILES[1]},1\n{FILES[0]},1\n",
            "two labels, in line 2 and line 4",
        ),
        ("path,noisy\nant/0000.png,1\nant/9999.png,1\n", "1 of 2 rows name no training image"),
        ("path,is_valid,noisy\nant/0000.png,perhaps,1\n", "is_valid is 'perhaps'"),
        ("a,b\n1,2\n3,4\n", "several columns; expected: one of: a, b"),
        ("index,path\n0,a.png\n1,b.png\n", "several columns"),
    ],
)
def test_rows_that_do_not_join_are_named(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(rows)
    with pytest.raises(LabError, match=message):
        read_labels(tmp_path / "labels.csv", None, TARGET)


def test_an_index_that_counts_from_1_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"index": ORDER + 1, "noisy": LABELS[ORDER]}).write_csv(tmp_path / "labels.csv")
    with pytest.raises(LabError, match="try: subtract 1 from the index"):
        read_labels(tmp_path / "labels.csv", None, TARGET)


def test_paths_need_images_that_have_some(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,noisy\na.png,1\nb.png,2\n")
    with pytest.raises(LabError, match="have no file names"):
        read_labels(tmp_path / "labels.csv", None, Target(N, NAMES))


def test_folders_named_by_numbers_are_read_as_names(tmp_path: Path) -> None:
    """Folders 1 to 12 are sorted as text, so that folder 10 is class 1."""
    names = tuple(sorted(map(str, range(1, 13))))
    labels = balanced(N, 12)
    (tmp_path / "labels.csv").write_text("".join(f"{names[y]}\n" for y in labels))
    assert (read_labels(tmp_path / "labels.csv", None, Target(N, names)).noisy == labels).all()


def test_a_file_with_several_columns_asks_which(tmp_path: Path) -> None:
    torch.save({"worse_label": LABELS, "aggre_label": LABELS}, tmp_path / "human.pt")
    expected = "one of: worse_label, aggre_label; try: name it in `column`"
    with pytest.raises(LabError, match=expected):
        read_labels(tmp_path / "human.pt", None, TARGET)
    with pytest.raises(LabError, match="try: worse_label"):
        read_labels(tmp_path / "human.pt", "worst_label", TARGET)
