"""Published files as label tables, and specifications of any YAML type."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.errors import LabError
from pipeline.files import labels_folder
from pipeline.noise.generate import make
from pipeline.noise.label_table import load_table, save_table
from pipeline.noise.models import transitions
from pipeline.noise.noise_spec import parse
from tests.support.noise_cases import lay_out, small_dataset

DATASET = small_dataset()
CLEAN = DATASET.train_labels
NOISY = transitions.draw(CLEAN, transitions.symmetric(0.4, 10), 0)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A laboratory in which `DATASET` is prepared."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    lay_out(DATASET)
    return tmp_path


def _imported(path: Path, **values: Any) -> Any:
    return make(DATASET, "tried", parse({"kind": "file", "path": str(path), **values}, "tried"))


def test_an_imported_file_is_a_table_like_any_other(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", NOISY[:450])
    made = _imported(tmp_path / "labels.npy", convention="symmetric", rate=0.4)
    assert made.card.n == 450
    assert made.card.convention == "symmetric"
    assert made.card.nominal_rate == 0.4
    assert made.card.seed is None
    assert made.card.details["file"] == "labels.npy"
    assert "in the order of the images" in made.card.details["order"]
    assert made.card.realised_rate == np.mean(NOISY[:450] != CLEAN[:450])


def test_the_first_labels_of_a_file_make_a_table_of_the_first_images(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", NOISY)
    table = _imported(tmp_path / "whole.npy", first=200, convention="symmetric", rate=0.4)
    np.testing.assert_array_equal(table.y_noisy, NOISY[:200])
    assert (table.card.n, table.index.tolist()) == (200, list(range(200)))


def test_an_index_with_gaps_makes_a_table_with_gaps_also_below_other_noise(
    tmp_path: Path,
) -> None:
    rows = np.random.default_rng(0).permutation(600)[:400]
    pl.DataFrame({"index": rows, "noisy": NOISY[rows]}).write_csv(tmp_path / "part.csv")
    made = _imported(tmp_path / "part.csv")
    assert (made.index == np.sort(rows)).all()
    assert (made.y_noisy == NOISY[made.index]).all()
    assert (made.y_clean == CLEAN[made.index]).all()
    save_table(made, labels_folder("small", "tried"))
    assert (load_table("small", "tried").index == made.index).all()
    head = _imported(tmp_path / "part.csv", first=100)
    assert (head.index == made.index[made.index < 100]).all()
    base = {"kind": "file", "path": str(tmp_path / "part.csv")}
    then = {"kind": "symmetric", "rate": 0.2}
    both = make(DATASET, "both", parse({"kind": "hybrid", "base": base, "then": then}, "both"))
    assert (both.index == made.index).all()


def test_a_trusted_order_is_accepted_and_on_the_card(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.roll(NOISY, 1))
    with pytest.raises(LabError, match="too late"):
        _imported(tmp_path / "labels.npy")
    made = _imported(tmp_path / "labels.npy", order="trusted")
    assert "trusted" in made.card.details["order"]
    assert made.card.details["made_from"]["spec"]["order"] == "trusted"


def test_a_stated_convention_is_checked_against_the_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", NOISY)
    with pytest.raises(LabError, match="said to be pair, but targets are uniform"):
        _imported(tmp_path / "labels.npy", convention="pair")
    assert _imported(tmp_path / "labels.npy", convention="someone's own").card.convention


def test_a_file_is_the_only_noise_without_clean_labels_and_must_fit_the_given(
    tmp_path: Path,
) -> None:
    given = small_dataset(given=True)
    spec = parse({"kind": "file", "path": str(tmp_path / "labels.npy")}, "tried")
    np.save(tmp_path / "labels.npy", NOISY)
    made = make(given, "tried", spec)
    assert made.y_clean is None
    assert made.card.realised_rate is None
    np.save(tmp_path / "labels.npy", np.roll(NOISY, 1))
    with pytest.raises(LabError, match="too late"):
        make(given, "tried", spec)


ANYTHING: list[Any] = [
    None, True, [], [1], {}, {"a": 1}, "", "x" * 40_000, -1, 0.5, 10**30, float("inf"),
    float("nan"), "../../precious", ["symmetric"], {"symmetric"},
]  # fmt: skip
FIELDS = [
    ({"kind": "symmetric", "rate": 0.1}, ("kind", "rate", "seed", "rng", "first")),
    ({"kind": "asymmetric", "rate": 0.1, "map": "cifar10"}, ("map",)),
    ({"kind": "matrix", "matrix": [[0.5, 0.5], [0.5, 0.5]]}, ("matrix", "seed")),
    ({"kind": "instance", "rate": 0.1}, ("variant", "features")),
    ({"kind": "pmd", "type": "I", "rate": 0.1, "posterior": "p.npy"}, ("type", "factor")),
    ({"kind": "file", "path": "x.npy"}, ("path", "column", "order", "convention", "rate")),
    ({"kind": "openset", "rate": 0.1, "source": "small"}, ("source",)),
    (
        {
            "kind": "hybrid",
            "base": {"kind": "pair", "rate": 0.1},
            "then": {"kind": "pair", "rate": 0.1},
        },
        ("base", "then"),
    ),
]


@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: repr(value)[:20])
def test_a_field_of_any_type_makes_labels_or_is_one_short_line(value: Any) -> None:
    for values, names in FIELDS:
        for name in names:
            try:
                make(DATASET, "tried", parse(values | {name: value}, "params.yaml: noise.tried"))
            except LabError as error:
                text = str(error)
                assert "\n" not in text, text
                assert len(text) < 600, text
    with pytest.raises(LabError):
        parse(value, "params.yaml: noise.tried")


@pytest.mark.parametrize("field", ["rate", "seed", "first"])
def test_truth_values_are_no_numbers(field: str) -> None:
    """YAML reads `yes` as one."""
    with pytest.raises(LabError, match="truth value"):
        parse({"kind": "symmetric", "rate": 0.1} | {field: True}, "tried")
