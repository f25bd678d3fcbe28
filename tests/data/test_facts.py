"""When a prepared data set is current, and when it is read again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.data_spec import BUILT_IN, DataSpec
from pipeline.data.dataset import load_card, load_dataset, prepare_dataset
from pipeline.data.facts import data_facts, is_current
from pipeline.data.readers import image_folder
from pipeline.errors import LabError
from pipeline.identity import digest
from tests.support.data_files import pictures, write_class_folders, write_parquet
from tests.support.large_data_files import write_clothing
from tests.support.programs import PYTHON, finish

PETS = ["cat", "dog"] * 8


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source of one's own, in an empty project."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    write_class_folders(tmp_path / "source", pictures(16, size=8), PETS)
    return tmp_path / "source"


def spec(**settings: Any) -> DataSpec:
    return DataSpec.model_validate(
        {"kind": "imagefolder", "root": "source", "image_size": 8, **settings}
    )


def test_the_card_holds_what_the_data_set_was_made_from(root: Path) -> None:
    card = prepare_dataset("mine", spec())
    assert card.made_from == data_facts(spec())
    assert card.made_from["spec"]["root"] == str(root)  # type: ignore[index,call-overload]  # JSON of a known form
    assert load_card("mine") == card
    assert is_current(card, spec())


def add(root: Path) -> None:
    write_class_folders(root, pictures(17, size=8)[16:], ["cat"])
    (root / "cat/00000.png").rename(root / "cat/new.png")


def move(root: Path) -> None:
    (root / "cat/00000.png").rename(root / "dog/00000.png")


def remove(root: Path) -> None:
    (root / "cat/00000.png").unlink()


def replace(root: Path) -> None:
    (root / "cat/00000.png").write_bytes((root / "dog/00001.png").read_bytes())


@pytest.mark.parametrize("change", [add, move, remove, replace])
def test_a_change_of_the_source_is_noticed(root: Path, change: Callable[[Path], None]) -> None:
    card = prepare_dataset("mine", spec())
    change(root)
    assert not is_current(card, spec())
    after = prepare_dataset("mine", spec())
    assert is_current(after, spec())
    assert after.digest != card.digest


@pytest.mark.parametrize(
    "settings", [{"image_size": 4}, {"labels": "clean"}, {"test_rate": 0.5}, {"root": "other"}]
)
def test_a_change_of_the_settings_is_noticed(root: Path, settings: dict[str, Any]) -> None:
    write_class_folders(root.parent / "other", pictures(16, size=8), PETS)
    card = prepare_dataset("mine", spec())
    assert not is_current(card, spec(**settings))


def test_a_source_that_is_gone_counts_as_unchanged(root: Path) -> None:
    card = prepare_dataset("mine", spec())
    root.rename(root.parent / "away")
    assert is_current(card, spec())
    assert not is_current(card, spec(image_size=4))


def test_without_a_root_the_place_of_before_is_meant(root: Path) -> None:
    write_clothing(root)
    given = DataSpec(kind="clothing1m", root="source", complete=False)
    card = prepare_dataset("large", given)
    again = DataSpec(kind="clothing1m", complete=False)
    assert is_current(card, again)
    assert prepare_dataset("large", again).digest == card.digest
    root.rename(root.parent / "away")
    assert prepare_dataset("large", again).digest == card.digest


def test_cards_of_before_read_as_made_from_nothing(root: Path) -> None:
    card = prepare_dataset("mine", spec())
    file = root.parent / "data/mine/card.json"
    known = json.loads(file.read_text())
    del known["made_from"], known["checksum"]
    file.write_text(json.dumps(known))
    assert load_card("mine").made_from == {}
    assert load_dataset("mine").card.digest == card.digest
    assert not is_current(load_card("mine"), spec())
    assert is_current(load_card("mine"), spec(root="nowhere"))


@pytest.mark.parametrize(
    ("check", "noticed"),
    [
        ("none", {"list"}),
        ("exist", {"list", "new image"}),
        ("decode", {"list", "new image", "new content"}),
    ],
)
def test_lists_are_looked_at_and_images_as_closely_as_asked(
    root: Path, check: str, noticed: set[str]
) -> None:
    keys = write_clothing(root)
    given = DataSpec.model_validate(
        {"kind": "clothing1m", "root": "source", "complete": False, "check_images": check}
    )
    image, listed = root / keys["train"][0], root / "annotations/clean_label_kv.txt"
    found = set()
    before = data_facts(given)
    for what, file in (
        ("new content", image),
        ("new image", image.parent / "x.jpg"),
        ("list", listed),
    ):
        file.write_bytes(file.read_bytes() + b"\n" if file.exists() else b"")
        if data_facts(given) != before:
            found.add(what)
        before = data_facts(given)
    assert found == noticed


def test_parquet_of_cifar_is_looked_at_and_its_neighbours_are_not(root: Path) -> None:
    folder = root.parent / "hub"
    given = DataSpec(kind="cifar10", root=str(folder))
    write_parquet(folder / "plain_text/train.parquet", pictures(4), label=[0, 1, 0, 1])
    before = data_facts(given)
    (folder / "notes.txt").touch()
    assert data_facts(given) == before
    write_parquet(folder / "plain_text/train.parquet", pictures(5), label=[0, 1, 0, 1, 1])
    assert data_facts(given) != before
    assert data_facts(BUILT_IN["cifar10"])["source"] is None


def test_a_source_that_changes_while_it_is_read_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = image_folder.FileImages.write

    def write(self: image_folder.FileImages, *arguments: Any) -> dict[int, str]:
        (root / "cat/late.png").touch()
        return whole(self, *arguments)

    monkeypatch.setattr(image_folder.FileImages, "write", write)
    with pytest.raises(LabError, match="changed while they were read"):
        prepare_dataset("mine", spec())
    assert not (root.parent / "data/mine").exists()


def test_names_of_training_images_stand_in_their_order(root: Path) -> None:
    prepare_dataset("mine", spec())
    dataset = load_dataset("mine")
    assert dataset.train_files is not None
    for file, pixels in zip(dataset.train_files, dataset.train_images, strict=True):
        number = int(Path(file).stem)
        assert file == f"{PETS[number]}/{number:05d}.png"
        np.testing.assert_array_equal(pixels, pictures(16, size=8)[number])
    (root.parent / "data/mine/train_files.json").write_text('["a", "b"]')
    with pytest.raises(LabError, match=r"train_files\.json is missing or damaged"):
        _ = load_dataset("mine").train_files
    prepare_dataset("digits", BUILT_IN["digits"])
    assert load_dataset("digits").train_files is None


def test_one_flipped_bit_of_a_card_is_found(root: Path) -> None:
    prepare_dataset("mine", spec())
    file = root.parent / "data/mine/card.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"mean": [0.5, 0.5, 0.5]}))
    with pytest.raises(LabError, match=r"card\.json is damaged or was changed by hand"):
        load_card("mine")
    checksum = known.pop("checksum")
    assert checksum == digest(known)


def test_time_and_size_decide_whether_a_program_reads_all_again(root: Path) -> None:
    prepare_dataset("mine", spec())
    load_dataset("mine")
    file = root.parent / "data/mine/train_images.npy"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(LabError, match="its content has digest"):
        load_dataset("mine")


def test_a_damaged_data_set_is_prepared_again_from_the_place_of_before(root: Path) -> None:
    write_clothing(root)
    prepare_dataset("large", DataSpec(kind="clothing1m", root="source", complete=False))
    file = root.parent / "data/large/train.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    prepare_dataset("large", DataSpec(kind="clothing1m", complete=False))
    assert load_dataset("large").card.n_train == 42


def test_checking_reads_all_data_sets(root: Path) -> None:
    prepare_dataset("mine", spec())
    prepare_dataset("digits", BUILT_IN["digits"])
    words = (PYTHON, "-m", "pipeline.data", "check")
    code, out, _ = finish(*words, lab=root.parent)
    assert (code, [line.split(":")[0] for line in out.splitlines()]) == (0, ["digits", "mine"])
    file = root.parent / "data/mine/test_images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    code, _, err = finish(*words, lab=root.parent)
    assert code == 2
    assert err.startswith("error: prepared data set 'mine': its content has digest")
    assert "try: uv run python -m pipeline.stages.data mine" in err
