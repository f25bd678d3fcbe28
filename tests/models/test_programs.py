"""The programs that ask a model about new images, and that export it."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from analysis.runs import show_one
from pipeline.errors import LabError
from pipeline.export import export
from pipeline.predict import predict
from pipeline.results.store import Store
from tests.support.new_images import read_rows, write_test_images


@pytest.fixture(scope="module")
def photos(kept):
    return kept.lab / "photos", write_test_images(kept.lab / "photos")


def accuracy(rows, labels):
    return np.mean([int(row["class"]) == label for row, label in zip(rows, labels, strict=True)])


@pytest.mark.parametrize("averaged", [False, True])
def test_the_test_images_as_files_give_the_stored_accuracy(kept, photos, tmp_path, averaged):
    folder, labels = photos
    table = tmp_path / "found.csv"
    predict(kept.key[:6], folder, csv=table, averaged=averaged)
    rows = read_rows(table)
    assert list(rows[0]) == ["file", "class", "probability"]
    assert [row["file"] for row in rows[:2]] == ["00/00000.png", "00/00001.png"]
    name = "averaged_test_accuracy" if averaged else "test_accuracy"
    stored = Store().epochs([kept.key]).collect()[name].item()
    assert accuracy(rows, labels) == stored


def test_a_moved_folder_predicts_the_same_with_every_class(kept, photos, tmp_path, capsys):
    folder, _ = photos
    shutil.copytree(kept.lab / "results/store/encoders" / kept.key, tmp_path / "elsewhere")
    few = folder / "03"
    predict(str(tmp_path / "elsewhere"), few, csv=tmp_path / "moved.csv", every_class=True)
    capsys.readouterr()
    predict(kept.key, few)
    brief = capsys.readouterr().out.splitlines()
    rows = read_rows(tmp_path / "moved.csv")
    assert brief[1:] == [f"{row['file']},{row['class']},{row['probability']}" for row in rows]
    for row in rows:
        p = {name: float(row[f"p({name})"]) for name in map(str, range(10))}
        assert sum(p.values()) == pytest.approx(1, abs=1e-5)
        assert max(p, key=p.get) == row["class"]
        assert p[row["class"]] == float(row["probability"])


def test_files_that_cannot_be_read_are_named_and_the_others_are_in_the_table(kept, tmp_path):
    folder = tmp_path / "mixed"
    (folder / "deep").mkdir(parents=True)
    # Any size, with colours: it is brought to what the networks see.
    Image.new("RGB", (31, 20), "white").save(folder / "deep" / "whole.jpg")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(LabError, match=r"left out: broken\.png; expected") as failure:
        predict(kept.key, folder, csv=tmp_path / "found.csv")
    assert failure.value.exit_code == 1
    assert [row["file"] for row in read_rows(tmp_path / "found.csv")] == ["deep/whole.jpg"]


def test_what_cannot_be_asked_is_said_in_one_line(kept, tmp_path, capsys):
    with pytest.raises(LabError, match="is not in .*runs.py list"):
        predict("r0", tmp_path)
    with pytest.raises(LabError, match="folder .* holds no whole model.*--keep-weights"):
        predict(str(tmp_path), tmp_path)
    (tmp_path / "letter.txt").write_text("no image")
    with pytest.raises(LabError, match=r"no images in .* \(it holds files ending in .txt\)"):
        predict(kept.key, tmp_path)
    with pytest.raises(LabError, match="is no folder"):
        predict(kept.key, tmp_path / "absent")
    show_one(kept.key)
    assert f"pipeline.predict {kept.key} FOLDER" in capsys.readouterr().out


@pytest.mark.parametrize("changed", ["model.json", "model.safetensors", "weights.safetensors"])
def test_a_model_that_was_changed_is_not_believed(kept, photos, tmp_path, changed):
    folder = tmp_path / "copy"
    shutil.copytree(kept.lab / "results/store/encoders" / kept.key, folder)
    if changed == "model.json":
        card = json.loads((folder / changed).read_text())
        (folder / changed).write_text(json.dumps(card | {"method": "sln"}))
    else:
        content = bytearray((folder / changed).read_bytes())
        content[-1] ^= 1
        (folder / changed).write_bytes(content)
    with pytest.raises(LabError, match="holds no whole model|is damaged"):
        predict(str(folder), photos[0])


def test_without_the_extra_it_says_what_to_type(kept, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LabError, match="try: uv run --extra onnx python -m pipeline.export"):
        export(kept.key, tmp_path / "model.onnx")
