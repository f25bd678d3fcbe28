"""What the stage `sources` notes: entries and the files they name, nothing of the machine."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.stages import sources
from tests.support.data_files import pictures, write_class_folders
from tests.support.lab import PARAMS, write_params


def notes(lab: Path, monkeypatch: pytest.MonkeyPatch, **blocks: dict) -> dict[str, dict]:
    """The notes for the small laboratory with some blocks of its params.yaml changed."""
    write_params(lab, PARAMS | blocks)
    monkeypatch.setattr(sys, "argv", ["sources"])
    sources.main()
    folder = lab / "cache" / "sources"
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text())
        for path in folder.rglob("*.json")
    }


def test_notes_of_made_inputs_hold_nothing_of_the_machine(lab, monkeypatch) -> None:
    found = notes(lab, monkeypatch)
    assert found.keys() == {"data/digits", "labels/digits/symmetric-40"}
    assert found["data/digits"]["spec"]["kind"] == "digits"
    assert found["labels/digits/symmetric-40"]["spec"]["rate"] == 0.4
    assert str(lab) not in json.dumps(found)


def test_draws_of_the_labels_are_noted_where_the_grid_crosses_them(lab, monkeypatch) -> None:
    usual = notes(lab, monkeypatch)
    crossed = notes(lab, monkeypatch, grid=PARAMS["grid"] | {"seeds": {"noise": [0, 1]}})
    assert crossed["labels/digits/symmetric-40"].pop("draws") == [0, 1]
    assert crossed == usual


@pytest.mark.parametrize(
    ("block", "entry", "note"),
    [
        ("noise", {"kind": "file", "path": "x.npy"}, "labels/digits/own"),
        ("noise", {"kind": "instance", "rate": 0.2, "features": "x.npy"}, "labels/digits/own"),
        ("noise", {"kind": "dependent", "rate": 0.2, "posterior": "x.npy"}, "labels/digits/own"),
        (
            "noise",
            {"kind": "hybrid", "base": {"kind": "file", "path": "x.npy"},
             "then": {"kind": "symmetric", "rate": 0.1}},
            "labels/digits/own",
        ),
        ("encoders", {"kind": "cc", "path": "x.npy"}, "encoders/own"),
        ("encoders", {"kind": "embeddings", "files": {"train": "x.npy"}}, "encoders/own"),
        ("encoders", {"kind": "timm", "model": "resnet18", "weights": "x.npy"}, "encoders/own"),
    ],
)  # fmt: skip
def test_an_edited_file_changes_its_note_and_no_other(lab, monkeypatch, block, entry, note) -> None:
    grid = PARAMS["grid"] | ({"noises": ["own", "pair-40"]} if block == "noise" else {})
    blocks = {block: PARAMS[block] | {"own": entry}, "grid": grid}
    absent = notes(lab, monkeypatch, **blocks)
    np.save(lab / "x.npy", np.arange(5))
    first = notes(lab, monkeypatch, **blocks)
    assert notes(lab, monkeypatch, **blocks) == first
    np.save(lab / "x.npy", np.arange(6))
    second = notes(lab, monkeypatch, **blocks)
    for before, after in ((absent, first), (first, second)):
        assert [name for name in after if after[name] != before[name]] == [note]


def test_own_images_are_noted_for_all_that_is_made_from_them(lab, monkeypatch) -> None:
    write_class_folders(lab / "mine", pictures(4, size=8), ["ant", "bee"] * 2)
    blocks = {
        "datasets": {"mine": {"kind": "imagefolder", "root": "mine", "image_size": 8}},
        "noise": {"open": {"kind": "openset", "rate": 0.1, "source": "mine"}},
        "encoders": {"own": {"kind": "run", "method": "simclr", "dataset": "mine"}},
        "grid": PARAMS["grid"] | {"datasets": ["mine", "digits"], "noises": ["open", "clean"]},
    }
    before = notes(lab, monkeypatch, **blocks)
    (lab / "mine/ant/00000.png").rename(lab / "mine/bee/moved.png")
    after = notes(lab, monkeypatch, **blocks)
    assert sorted(name for name in after if after[name] != before[name]) == [
        "data/mine", "encoders/own", "labels/digits/open", "labels/mine/open",
    ]  # fmt: skip


@pytest.mark.parametrize("field", ["datasets", "noises", "encoders"])
@pytest.mark.parametrize("name", ["a;b", "../x", "", ".", "no", "a b", "sym-0.4"])
def test_what_is_no_name_is_refused(lab, monkeypatch, capsys, field, name) -> None:
    with pytest.raises(SystemExit):
        notes(lab, monkeypatch, grid=PARAMS["grid"] | {field: [name]})
    [line] = capsys.readouterr().err.splitlines()
    assert "; expected: " in line
    assert "; try: " in line
    assert not (lab / "cache").exists()


def test_the_stage_starts_without_torch() -> None:
    code = "import sys, pipeline.stages.sources; print({'torch', 'pyarrow'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
