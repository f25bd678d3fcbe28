"""Large data sets: the published lists are read as they are, and what is wrong is named."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.data.data_spec import BUILT_IN, DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.data.indexed.manifest import check_counts
from pipeline.data.listed import ListedSource, SplitLines
from pipeline.data.readers import clothing1m, food101n, webvision
from pipeline.data.source import Labels
from pipeline.errors import LabError
from pipeline.files import data_folder
from tests.support.large_data_files import (
    FOODS,
    clothing_keys,
    real_lines,
    synset_ids,
    write_clothing,
    write_food,
    write_list,
    write_webvision,
)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the images, in a project that is empty but for it."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def spec(kind: str, **settings: Any) -> DataSpec:
    return DataSpec.model_validate({"kind": kind, "root": "source", "complete": False, **settings})


def prepared(kind: str, **settings: Any) -> Dataset:
    prepare_dataset("large", spec(kind, **settings))
    return load_dataset("large", verify=True)


def refused(kind: str, **settings: Any) -> str:
    with pytest.raises(LabError) as caught:
        prepared(kind, **settings)
    return str(caught.value)


def table(dataset: Dataset, split: str = "train") -> pl.DataFrame:
    """An index table; its rows must be numbered."""
    frame = pl.read_parquet(data_folder(dataset.card.name) / f"{split}.parquet")
    assert frame.columns == ["index", "path", "y_noisy", "y_clean"]
    assert frame["index"].to_list() == list(range(len(frame)))
    return frame


def paths(dataset: Dataset, split: str = "train") -> list[str]:
    return table(dataset, split)["path"].to_list()


# Clothing1M


@pytest.mark.parametrize("one_file", [False, True])
def test_clothing_joins_lists_with_tables_or_reads_joined_ones(root: Path, one_file: bool) -> None:
    keys = write_clothing(root, one_file=one_file)
    dataset = prepared("clothing1m")
    card = dataset.card
    assert paths(dataset) == keys["train"]
    np.testing.assert_array_equal(dataset.train_labels, np.arange(42) % 14)
    for split in ("test", "val", "clean_train"):
        assert paths(dataset, split) == keys[split]
    expected = (np.arange(28) + 1) % 14
    np.testing.assert_array_equal(dataset.test_labels, expected)
    assert list(dataset.extra) == ["val", "clean_train"]
    for part in dataset.extra.values():
        np.testing.assert_array_equal(part.labels, expected)
    assert (card.n_train, card.n_test, card.n_classes) == (42, 28, 14)
    assert (card.labels, card.has_clean, dataset.train_clean_labels) == ("given", False, None)
    assert (card.class_names[4], card.mean[0]) == ("Sweater", 0.6959)
    assert table(dataset)["y_clean"].null_count() == 42
    assert table(dataset, "val")["y_noisy"].null_count() == 28


def test_both_forms_of_the_lists_give_the_same_digest(root: Path) -> None:
    write_clothing(root)
    digest = prepared("clothing1m").card.digest
    write_clothing(root, one_file=True)
    assert (root / "annotations/noisy_train.txt").exists()
    assert prepared("clothing1m").card.digest == digest


def test_digest_sees_order_labels_and_splits_but_not_pixels(root: Path) -> None:
    keys = write_clothing(root, one_file=True)
    digests = [prepared("clothing1m").card.digest]
    (root / keys["train"][0]).write_bytes((root / keys["train"][1]).read_bytes())
    assert prepared("clothing1m").card.digest == digests[0]
    file = root / "annotations/noisy_train.txt"
    lines = file.read_text().split("\n")[:-1]
    write_list(file, [lines[1], lines[0], *lines[2:]])
    digests.append(prepared("clothing1m").card.digest)
    write_list(file, [f"{keys['train'][0]} 1", *lines[1:]])
    digests.append(prepared("clothing1m").card.digest)
    validation = root / "annotations/clean_val.txt"
    write_list(validation, validation.read_text().split("\n")[:-4])
    digests.append(prepared("clothing1m").card.digest)
    assert len(set(digests)) == 4


def test_selection_takes_the_training_images_of_its_own_lists(root: Path) -> None:
    keys = write_clothing(root)
    folder = root / "annotations"
    (folder / "noisy_label_kv.txt").unlink()
    assert "cc_select_img.txt" in refused("clothing1m", selection="cc")
    chosen = keys["train"][5::3]
    write_list(folder / "cc_select_img.txt", chosen, last=False)
    write_list(folder / "cc_select_label.txt", ["7"] * len(chosen), end="\r\n")
    dataset = prepared("clothing1m", selection="cc")
    assert paths(dataset) == chosen
    assert set(dataset.train_labels.tolist()) == {7}
    assert "cc lists" in dataset.card.source
    write_list(folder / "cc_select_label.txt", ["7"] * (len(chosen) - 1))
    message = refused("clothing1m", selection="cc")
    assert f"has {len(chosen)} entries" in message
    assert f"has {len(chosen) - 1}" in message


def test_every_missing_list_is_named_with_its_place(root: Path) -> None:
    message = refused("clothing1m")
    assert f"6 file(s) missing in {root / 'annotations'}: noisy_tr" in message
    assert "no root" in refused("clothing1m", root=None)


BAD_LINES = {
    "images/1/01/5,5.jpg 14": "label 14, not 0 to 13",
    "images/1/01/5,5.jpg -1": "label -1, not 0 to 13",
    "images/1/01/5,5.jpg": "not of the form 'path label'",
    "images/1/01/5,5.jpg two": "not of the form 'path label'",
    "/images/1/01/5,5.jpg 2": "leads out of the root",
    "images/../../5,5.jpg 2": "leads out of the root",
    clothing_keys(0, 3)[2] + " 1": "again, after line 3",
}


def test_wrong_lines_stop_or_are_skipped_and_listed(root: Path) -> None:
    keys = write_clothing(root, one_file=True)
    file = root / "annotations/noisy_train.txt"
    write_list(file, [*file.read_text().split("\n")[:-1], *BAD_LINES], last=False)
    message = refused("clothing1m")
    assert "7 line(s)" in message
    assert "noisy_train.txt line 43: label 14" in message
    dataset = prepared("clothing1m", on_bad_image="skip")
    assert paths(dataset) == keys["train"]
    assert dataset.card.index is not None
    assert (dataset.card.index.n_bad_lines, dataset.card.index.n_bad_images) == (7, 0)
    bad = pl.read_parquet(data_folder("large") / "bad.parquet")
    assert bad["line"].to_list() == list(range(43, 50))
    assert set(bad["list"]) == {"noisy_train.txt"}
    for reason, expected in zip(bad["reason"], BAD_LINES.values(), strict=True):
        assert expected in reason


def test_an_image_without_label_in_the_table_is_a_wrong_line(root: Path) -> None:
    write_clothing(root)
    table = root / "annotations/clean_label_kv.txt"
    write_list(table, table.read_text().split("\n")[1:])
    assert "has no label in clean_label_kv.txt" in refused("clothing1m")


def test_an_image_in_two_splits_is_refused(root: Path) -> None:
    keys = write_clothing(root, one_file=True)
    file = root / "annotations/clean_test.txt"
    write_list(file, [f"{keys['train'][3]} 3", *file.read_text().split("\n")])
    message = refused("clothing1m", on_bad_image="skip")
    assert "in the lists of both train and test" in message


# WebVision and ILSVRC2012


def test_mini_webvision_is_the_google_part_of_the_first_classes(root: Path) -> None:
    train = write_webvision(root, per_class=3)
    dataset = prepared("webvision", n_classes=50)
    assert paths(dataset) == train
    np.testing.assert_array_equal(dataset.train_labels, np.arange(150) % 50)
    real = [line.split() for line in real_lines("val_filelist.every250.txt")]
    kept = [(name, int(label)) for name, label in real if int(label) < 50]
    assert paths(dataset, "test") == [f"val_images_256/{name}" for name, _ in kept]
    assert dataset.test_labels.tolist() == [label for _, label in kept] != []
    assert BUILT_IN["webvision-mini"].n_classes == 50


def test_validation_of_ilsvrc_is_a_second_test_split_in_the_same_numbering(root: Path) -> None:
    write_webvision(root, per_class=1)
    dataset = prepared("webvision", n_classes=200)
    split = dataset.extra["ilsvrc"]
    real = [line.split() for line in real_lines("ILSVRC2012_val_label.head200.txt")]
    kept = [(name, int(label), wnid) for name, label, wnid in real if int(label) < 200]
    assert split.labels.tolist() == [label for _, label, _ in kept]
    assert [split.images.file(i).name for i in range(len(kept))] == [name for name, *_ in kept]
    assert split.images.file(0).is_file()
    for _, label, wnid in kept:
        assert dataset.card.class_names[label] == f"{wnid} crane"
    assert len(set(dataset.card.class_names)) == 200


def test_webvision_does_without_ilsvrc_unless_it_is_asked_for(root: Path) -> None:
    write_webvision(root, per_class=1)
    (root / "ILSVRC2012").rename(root.parent / "elsewhere")
    assert prepared("webvision", n_classes=50).extra == {}
    assert "elsewhere" in str(
        prepared("webvision", n_classes=50, ilsvrc_root="elsewhere").extra["ilsvrc"].images.folder
    )
    assert "nowhere: ILSVRC2012_val_label.txt" in refused("webvision", ilsvrc_root="nowhere")


def test_whole_webvision_has_both_parts_and_all_classes(root: Path) -> None:
    train = write_webvision(root, per_class=1)
    (root / "info/val_filelist.txt").rename(root / "val_filelist.txt")
    dataset = prepared("webvision")
    assert paths(dataset) == [*train, "google/q1631/z.jpg", "flickr/q0001/a.jpg"]
    assert dataset.card.n_classes == 1000
    assert dataset.card.n_test == 200


def test_labels_that_count_in_another_order_are_found_by_their_wnid(root: Path) -> None:
    write_webvision(root, per_class=1)
    file = root / "ILSVRC2012/ILSVRC2012_val_label.txt"
    first, *rest = file.read_text().split("\n")
    name, label, wnid = first.split()
    write_list(file, [f"{name} {int(label) + 1} {wnid}", *rest, "ILSVRC2012_val_00009999.JPEG 3"])
    message = refused("webvision", n_classes=50)
    assert "2 line(s)" in message
    assert f"label {int(label) + 1} for {wnid}, {label} by synsets.txt" in message
    write_list(root / "ILSVRC2012/synsets.txt", sorted(synset_ids())[:-1])
    assert "999 different classes" in refused("webvision")
    write_list(root / "ILSVRC2012/synsets.txt", [*synset_ids()[:-1], "n99999999 last"])
    assert "disagree" in refused("webvision")


# Food-101N


@pytest.mark.parametrize("header", [True, False])
def test_food_maps_both_parts_by_name_and_knows_verified_labels(root: Path, header: bool) -> None:
    train = write_food(root, header)
    dataset = prepared("food101n")
    assert paths(dataset) == [f"Food-101N_release/images/{path}" for path in train]
    np.testing.assert_array_equal(dataset.train_labels, np.arange(15) % 3)
    assert dataset.test_labels.tolist() == [2, 2, 1, 1, 0, 0]
    assert paths(dataset, "test")[0] == "food-101/images/waffles/11.jpg"
    clean = table(dataset)["y_clean"]
    right = {1: 1, 3: 0, 5: 2, 14: 2}
    assert clean.to_list() == [right.get(i) for i in range(15)]
    assert dataset.card.class_names == tuple(FOODS)
    assert not dataset.card.has_clean


def test_food_verdicts_are_checked_and_classes_must_agree(root: Path) -> None:
    write_food(root)
    file = root / "Food-101N_release/meta/verified_val.tsv"
    write_list(file, ["class_name/key\tverdict", "apple_pie/0,é.jpg\t2"])
    assert "line 2: a verdict that is not 0 or 1" in refused("food101n")
    write_list(file, ["class_name/key\tverdict", "waffles/none.jpg\t1", "waffles/no.jpg\t1"])
    assert "line 2: a verdict on an image that is not listed" in refused("food101n")
    write_list(root / "food-101/meta/classes.txt", [*FOODS, "ziti"])
    assert "class 'ziti' is in only one of" in refused("food101n")


# Published counts


def listed(kind: str, labels: dict[str, Labels], **settings: Any) -> tuple[DataSpec, ListedSource]:
    """A source with these labels, and the settings of the published one."""
    splits, n_classes = {}, int(labels["test"].max()) + 1
    for name, of_split in labels.items():
        lines = SplitLines(name, n_classes, [], clean=name != "train")
        for number, label in enumerate(of_split.tolist()):
            lines.add(f"{name}{number}", label, "list", number)
        splits[name] = lines.split("r")
    names = tuple(f"class{i}" for i in range(n_classes))
    return spec(kind, complete=True, **settings), ListedSource(
        splits, names, (0.5,), (0.5,), kind, "made", []
    )


def test_counts_of_mini_webvision_are_exact() -> None:
    labels = {
        "train": np.arange(65_944) % 50,
        "test": np.arange(2500) % 50,
        "ilsvrc": np.arange(2500) % 50,
    }
    check_counts(*listed("webvision", labels, n_classes=50))
    labels["ilsvrc"] = np.maximum(labels["ilsvrc"], 1)
    labels["train"] = labels["train"][1:]
    with pytest.raises(LabError) as caught:
        check_counts(*listed("webvision", labels, n_classes=50))
    message = str(caught.value)
    assert "train: 65943 entries instead of 65944" in message
    assert "ilsvrc: 0 of class 0 (class0) instead of 50" in message
    assert "ilsvrc: 100 of class 1 (class1) instead of 50" in message


def test_counts_of_a_class_matter_where_they_are_published() -> None:
    published = [845, 636, 527, 1171, 918, 824, 558, 297, 1017, 727, 523, 686, 946, 851]
    test = np.repeat(np.arange(14), published)
    check_counts(*listed("clothing1m", {"test": test}))
    test[0] = 13
    with pytest.raises(LabError, match=r"test: 844 of class 0 .* 852 of class 13 "):
        check_counts(*listed("clothing1m", {"test": test}))


def test_a_part_of_a_data_set_needs_the_word(root: Path) -> None:
    write_clothing(root)
    message = refused("clothing1m", complete=True)
    assert "train: 42 entries instead of 1000000" in message
    assert "complete: false" in message
    write_food(root)
    message = refused("food101n", complete=True)
    assert "verified_train: 6 entries instead of 52868" in message
    assert not (root.parent / "data/large").exists()


def test_one_verdict_on_an_image_that_is_not_there_is_counted_as_released(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_food(root)
    file = root / "Food-101N_release/meta/verified_val.tsv"
    before = food101n.read_food101n(spec("food101n")).counts["verified_val"]
    write_list(file, [*file.read_text().split("\n"), "waffles/none.jpg\t0"])
    assert food101n.read_food101n(spec("food101n")).counts["verified_val"] == before + 1
    assert prepared("food101n").card.left_out == {"verdicts on images that are not listed": 1}
    printed = capsys.readouterr().out
    assert printed == "large: left out: verdicts on images that are not listed (1)\n"


@pytest.mark.parametrize(
    ("line", "encoding", "fault"),
    [
        ("images/ÿ.jpg 1", "latin-1", "line 29 cannot be read"),
        ("images/a.jpg 1", "utf-16", "cannot be read"),
        ("images/a.jpg 1", "utf-16-le", "holds a zero byte"),
        ("images/a\0.jpg 1", "utf-8", "line 29 holds a zero byte"),
        (f"images/a.jpg {'9' * 5000}", "utf-8", "line 29: not of the form"),
        ("images/a.jpg ²", "utf-8", "line 29: not of the form"),
    ],
)
def test_text_that_is_not_what_it_says_is_named(
    root: Path, line: str, encoding: str, fault: str
) -> None:
    write_clothing(root, one_file=True)
    file = root / "annotations/clean_val.txt"
    lines = [*filter(None, file.read_text().split("\n")), line]
    file.write_bytes("\n".join(lines).encode(encoding))
    message = refused("clothing1m")
    assert "clean_val.txt" in message
    assert fault in message
    assert len(message) < 600


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_change_nothing(root: Path, end: str, mark: str) -> None:
    write_clothing(root, one_file=True)
    digest = prepared("clothing1m").card.digest
    file = root / "annotations/clean_val.txt"
    lines = [*filter(None, file.read_text().split("\n"))]
    file.write_bytes((mark + end.join(lines)).encode())
    assert prepared("clothing1m").card.digest == digest


def test_readers_need_no_images(root: Path) -> None:
    write_clothing(root, images=False)
    assert len(clothing1m.read_clothing1m(spec("clothing1m")).splits["train"]) == 42
    write_food(root)
    assert food101n.read_food101n(spec("food101n")).counts == {
        "verified_train": 6,
        "verified_val": 1,
    }
    write_webvision(root, per_class=1)
    assert (
        webvision.read_webvision(spec("webvision", n_classes=7)).class_names[6].endswith(" crane")
    )
