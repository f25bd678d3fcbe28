"""A card says what its table was made from: whatever changes that makes it out of date."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.noise.generate import make
from pipeline.noise.made_from import noise_facts
from pipeline.noise.models import transitions
from pipeline.noise.noise_spec import Symmetric, parse
from tests.support.noise_cases import lay_out, small_dataset, softmax_rows

DATASET = small_dataset()
NOISY = transitions.draw(DATASET.train_labels, transitions.symmetric(0.2, 10), 5)
FILE = {"kind": "file", "path": "labels.npy"}
AVERAGE = {"kind": "dependent", "rate": 0.2, "posterior": "average.npy"}
FEATURES = {"kind": "instance", "rate": 0.2, "features": "features.npy"}
OPEN = {"kind": "openset", "rate": 0.2, "source": "other"}


def _hybrid(base: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "hybrid", "base": base, "then": {"kind": "pair", "rate": 0.1}}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A laboratory with two data sets and the files that the specifications name."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    lay_out(DATASET)
    lay_out(small_dataset(name="other"))
    (tmp_path / "home").mkdir()
    for folder in (tmp_path, tmp_path / "home"):
        np.save(folder / "labels.npy", NOISY)
        np.save(folder / "average.npy", softmax_rows(DATASET.train_labels, 10))
        np.save(folder / "features.npy", np.eye(10)[DATASET.train_labels])
    return tmp_path


def _facts(values: dict[str, Any]) -> dict[str, Any]:
    return noise_facts(parse(values, "tried"), DATASET.card)


@pytest.mark.parametrize(
    ("values", "file"),
    [
        (FILE, "labels.npy"),
        (AVERAGE, "average.npy"),
        (FEATURES, "features.npy"),
        (_hybrid(FILE), "labels.npy"),
        (_hybrid(FEATURES), "features.npy"),
        (FILE | {"path": "~/labels.npy"}, "home/labels.npy"),
        (AVERAGE | {"posterior": "~/average.npy"}, "home/average.npy"),
        (FEATURES | {"features": "~/features.npy"}, "home/features.npy"),
    ],
)
def test_a_changed_file_changes_the_facts(root: Path, values: dict[str, Any], file: str) -> None:
    before = _facts(values)
    made = make(DATASET, "tried", parse(values, "tried"))
    assert made.card.details["made_from"] == before
    content = np.load(root / file)
    np.save(root / file, content[::-1])
    assert _facts(values) != before
    np.save(root / file, content)
    assert _facts(values) == before
    (root / file).unlink()
    assert list(_facts(values)["files"].values()) == [None]


def test_other_images_another_source_another_version_change_the_facts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    symmetric = {"kind": "symmetric", "rate": 0.2}
    spec = parse(symmetric, "tried")
    other_images = replace(DATASET.card, digest="0" * 16)
    assert noise_facts(spec, other_images) != noise_facts(spec, DATASET.card)
    before = {name: _facts(v) for name, v in (("open", OPEN), ("hybrid", _hybrid(FILE)))}
    lay_out(small_dataset(name="other", pixels=2))
    assert _facts(OPEN) != before["open"]
    kept = _facts(symmetric)
    monkeypatch.setattr(Symmetric, "VERSION", 2)
    assert _facts(symmetric) != kept
    assert _facts(_hybrid(FILE)) == before["hybrid"]
    assert _facts(_hybrid(symmetric))["version"] == 3


def test_a_specification_survives_its_card(root: Path) -> None:
    for values in (FILE, AVERAGE, FEATURES, OPEN, _hybrid(FILE)):
        spec = parse(values, "tried")
        assert parse(_facts(values)["spec"], "card") == spec
    own = parse({"kind": "asymmetric", "rate": 0.1, "map": {3: 4}}, "tried")
    import json

    assert parse(json.loads(json.dumps(own.model_dump(mode="json"))), "card") == own
