"""Label tables: making, cards, saving, loading, and refusing what does not belong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.data.dataset import Dataset
from pipeline.errors import LabError
from pipeline.files import labels_folder
from pipeline.noise import label_table as table
from pipeline.noise.generate import make
from pipeline.noise.label_table import load_table, save_table
from pipeline.noise.noise_card import NoiseCard
from pipeline.noise.noise_spec import parse
from tests.support.noise_cases import lay_out, small_dataset, softmax_rows

DATASET = small_dataset()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A laboratory in which `DATASET` is prepared."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    lay_out(DATASET)
    np.save(tmp_path / "eta.npy", softmax_rows(DATASET.train_labels[:450], 10, sharpness=6.0))
    np.save(tmp_path / "average.npy", softmax_rows(DATASET.train_labels, 10))
    return tmp_path


def _make(dataset: Dataset = DATASET, **values: Any) -> table.LabelTable:
    return make(dataset, "tried", parse(values, "noise.tried"))


def _saved(**values: Any) -> table.LabelTable:
    made = _make(**values)
    save_table(made, labels_folder("small", "tried"))
    return made


EVERY_KIND: list[tuple[dict[str, Any], str, int]] = [
    ({"kind": "clean"}, "clean", 600),
    ({"kind": "symmetric", "rate": 0.4}, "symmetric", 600),
    ({"kind": "symmetric-inclusive", "rate": 0.4, "rng": "legacy"}, "symmetric-inclusive", 600),
    ({"kind": "asymmetric", "rate": 0.4, "map": "cifar10"}, "asymmetric/cifar10", 600),
    ({"kind": "asymmetric", "rate": 0.4, "map": {3: 4}}, "asymmetric/own map", 600),
    ({"kind": "pair", "rate": 0.45}, "pair", 600),
    ({"kind": "matrix", "matrix": np.full((10, 10), 0.1).tolist()}, "matrix", 600),
    ({"kind": "instance", "rate": 0.4}, "instance/xia2020", 600),
    ({"kind": "instance", "rate": 0.4, "variant": "dal", "rng": "legacy"}, "instance/dal", 600),
    ({"kind": "dependent", "rate": 0.3, "posterior": "average.npy"}, "dependent", 600),
    ({"kind": "pmd", "type": "I", "rate": 0.35, "posterior": "eta.npy"}, "pmd/I", 450),
    (
        {
            "kind": "hybrid",
            "base": {"kind": "pmd", "type": "I", "rate": 0.35, "posterior": "eta.npy"},
            "then": {"kind": "symmetric", "rate": 0.3, "seed": 77, "rng": "legacy"},
        },
        "pmd/I + symmetric",
        450,
    ),
    ({"kind": "openset", "rate": 0.3, "source": "small"}, "open-set", 600),
]


@pytest.mark.parametrize(("values", "convention", "n"), EVERY_KIND)
def test_every_kind_survives_saving_and_loading(
    values: dict[str, Any], convention: str, n: int
) -> None:
    made = _saved(**values)
    loaded = load_table("small", "tried")
    assert loaded.card == made.card
    assert made.card.convention == convention
    assert len(made.index) == made.card.n == n
    for name in ("index", "y_clean", "y_noisy"):
        ours, theirs = getattr(loaded, name), getattr(made, name)
        assert ours.dtype == np.int64
        assert (ours == theirs).all()


@pytest.mark.parametrize(("values", "convention", "n"), EVERY_KIND)
def test_the_card_tells_what_the_labels_say(
    values: dict[str, Any], convention: str, n: int
) -> None:
    made = _make(**values)
    assert made.y_clean is not None
    assert made.card.per_class_rates is not None
    wrong = made.y_clean != made.y_noisy
    assert made.card.realised_rate == pytest.approx(wrong.mean(), abs=1e-12)
    for c in range(10):
        members = made.y_clean == c
        assert made.card.per_class_rates[c] == pytest.approx(wrong[members].mean(), abs=1e-6)
        shares = np.bincount(made.y_noisy[members], minlength=10) / members.sum()
        assert made.card.transition is not None
        assert made.card.transition[c] == pytest.approx(shares.tolist(), abs=1e-6)
    assert made.card.data_digest == DATASET.card.digest


@pytest.mark.parametrize(
    "values",
    [v for v, _, _ in EVERY_KIND if "rate" in v],
    ids=[convention for v, convention, _ in EVERY_KIND if "rate" in v],
)
def test_rate_zero_flips_nothing_in_any_kind(values: dict[str, Any]) -> None:
    assert _make(**(values | {"rate": 0})).card.realised_rate == 0


def test_the_digest_tells_tables_apart_and_seeds_matter() -> None:
    digests = {_make(kind="symmetric", rate=0.4, seed=s).card.labels_digest for s in (0, 1, 2)}
    again = _make(kind="symmetric", rate=0.4, seed=1).card.labels_digest
    assert len(digests) == 3
    assert again in digests


def test_open_set_keeps_labels_and_stores_which_images_go() -> None:
    _saved(kind="openset", rate=0.25, source="small")
    loaded = load_table("small", "tried")
    assert loaded.openset is not None
    assert loaded.openset.source == "small"
    assert len(loaded.openset.index) == len(loaded.openset.source_index) == 150
    assert loaded.card.realised_rate == 0
    assert loaded.card.details["openset_rate"] == 0.25


@pytest.mark.parametrize("values", [v for v, _, _ in EVERY_KIND if v["kind"] != "openset"])
def test_the_labels_of_the_first_images_are_the_head_of_the_whole_table(
    values: dict[str, Any],
) -> None:
    whole, head = _make(**values), _make(**values, first=250)
    assert len(head.index) == head.card.n == 250
    assert (head.index == np.arange(250)).all()
    assert head.y_clean is not None
    assert (head.y_noisy == whole.y_noisy[:250]).all()
    assert (head.y_clean == DATASET.train_labels[:250]).all()
    # The card describes what is kept, not what was drawn.
    assert head.card.realised_rate == pytest.approx((head.y_clean != head.y_noisy).mean())
    assert head.card.labels_digest != whole.card.labels_digest


def test_open_set_labels_are_not_cut() -> None:
    with pytest.raises(LabError, match="first with open-set noise"):
        _make(kind="openset", rate=0.25, source="small", first=250)


def test_open_set_needs_images_of_the_same_shape() -> None:
    lay_out(small_dataset(side=5, name="other"))
    with pytest.raises(LabError, match=r"shape \(5, 5, 1\); expected: shape \(4, 4, 1\)"):
        _make(kind="openset", rate=0.25, source="other")


def test_without_clean_labels_the_given_ones_are_the_table() -> None:
    given = small_dataset(given=True)
    made = _make(given, kind="clean")
    assert made.y_clean is None
    assert (made.y_noisy == given.train_labels).all()
    card = made.card
    assert card.convention == "given"
    assert card.nominal_rate is None
    assert card.realised_rate is None
    assert card.per_class_rates is None
    assert card.transition is None
    save_table(made, labels_folder("small", "tried"))
    assert load_table("small", "tried").y_clean is None


def test_without_clean_labels_other_noise_is_refused() -> None:
    with pytest.raises(LabError, match="no clean labels; expected: noise of kind clean"):
        _make(small_dataset(given=True), kind="symmetric", rate=0.2)


def test_noisy_given_labels_with_known_clean_ones() -> None:
    given = np.roll(DATASET.train_labels, 1)
    mixed = replace(
        DATASET,
        card=replace(DATASET.card, labels="given"),
        train_labels=given,
        given_clean=DATASET.train_labels,
    )
    made = _make(mixed, kind="clean")
    assert made.card.convention == "given"
    assert made.card.realised_rate is not None
    assert made.card.realised_rate > 0.5
    assert made.y_clean is not None
    assert (made.y_noisy == given).all()
    assert (made.y_clean == DATASET.train_labels).all()


def test_a_table_for_other_images_is_refused_with_the_remedy() -> None:
    other = replace(DATASET, card=replace(DATASET.card, digest="0" * 16))
    save_table(_make(other, kind="pair", rate=0.2), labels_folder("small", "tried"))
    with pytest.raises(
        LabError, match=r"try: uv run python -m pipeline\.stages\.noise small tried"
    ):
        load_table("small", "tried")


def test_an_edited_table_is_refused() -> None:
    _saved(kind="pair", rate=0.2)
    path = labels_folder("small", "tried") / table.LABELS
    frame = pl.read_parquet(path)
    frame.with_columns(noisy=(pl.col("noisy") + 1) % 10).write_parquet(path)
    with pytest.raises(LabError, match="not the file that its card says"):
        load_table("small", "tried")


@pytest.mark.parametrize("file", [table.CARD, table.LABELS])
def test_every_flipped_bit_is_one_clear_line(file: str, capfd: Any) -> None:
    """At 60 places of either file: bytes of numbers, of names, of compressed pages, of digests."""
    _saved(kind="pair", rate=0.2)
    path = labels_folder("small", "tried") / file
    intact = path.read_bytes()
    for place in np.random.default_rng(0).choice(len(intact) - 1, 60, replace=False):
        path.write_bytes(intact[:place] + bytes([intact[place] ^ 4]) + intact[place + 1 :])
        with pytest.raises(LabError, match="is damaged") as caught:
            load_table("small", "tried")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    path.write_bytes(intact)
    assert load_table("small", "tried").card.n == 600


@pytest.mark.parametrize("damage", ["card", "cut", "column", "no object", "deep"])
def test_a_damaged_table_is_refused(damage: str) -> None:
    _saved(kind="pair", rate=0.2)
    folder = labels_folder("small", "tried")
    if damage == "card":
        (folder / table.CARD).write_text(json.dumps({"name": "tried"}))
    elif damage == "no object":
        (folder / table.CARD).write_text("[1]")
    elif damage == "deep":
        (folder / table.CARD).write_text("[" * 100_000)
    elif damage == "cut":
        (folder / table.LABELS).write_bytes((folder / table.LABELS).read_bytes()[:100])
    else:
        pl.read_parquet(folder / table.LABELS).drop("noisy").write_parquet(folder / table.LABELS)
    with pytest.raises(LabError, match="damaged"):
        load_table("small", "tried")


def test_a_table_lies_where_its_path_says_whatever_marks_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_ROOT", str(tmp_path / "lab [1] *?"))
    lay_out(DATASET)
    made = _saved(kind="pair", rate=0.2)
    assert load_table("small", "tried").card == made.card


@pytest.mark.parametrize("name", ["../../precious", ".", "", "sym;touch X", "sym 40", "a/b", "no"])
def test_a_name_that_no_folder_can_have_is_refused(root: Path, name: str) -> None:
    made = _make(kind="pair", rate=0.2)
    for names in ((name, "tried"), ("small", name)):
        with pytest.raises(LabError, match="name"):
            load_table(*names)
        with pytest.raises(LabError, match="name"):
            save_table(made, labels_folder(*names))


def test_two_sources_of_open_set_images_are_two_tables() -> None:
    """As many images at the same positions, but other images: another digest."""
    lay_out(small_dataset(name="other", pixels=2))
    digests = {
        _make(kind="openset", rate=0.25, source=source).card.labels_digest
        for source in ("small", "other")
    }
    assert len(digests) == 2


def test_a_missing_table_names_the_made_ones_and_the_command() -> None:
    _saved(kind="pair", rate=0.2)
    with pytest.raises(LabError, match=r"one of tried; try: uv run python -m pipeline\.stages"):
        load_table("small", "absent")


def test_cards_round_trip_through_json() -> None:
    card = _make(kind="symmetric", rate=0.4).card
    assert NoiseCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "symmetrical", "rate": 0.1}, "try: symmetric"),
        ({"rate": 0.1}, "kind = None"),
        (
            {"kind": "symmetric", "rate": 1.2},
            "rate = 1.2; expected: a number, at least 0, at most 1",
        ),
        ({"kind": "symmetric", "rate": -0.1}, "rate = -0.1; expected: a number, at least 0"),
        ({"kind": "symmetric", "rate": 0.1, "sed": 1}, "unknown key 'sed'"),
        ({"kind": "matrix", "matrix": [[0.5, 0.4], [0.5, 0.5]]}, "row 0 sums to 0.9"),
        ({"kind": "matrix", "matrix": [[0.5, 0.5], [1.0]]}, "row 1 has 1 entries"),
        ({"kind": "matrix", "matrix": [[0.5, 0.5], [0.5, 0.5]]}, "one of 10, as the data set has"),
        ({"kind": "asymmetric", "rate": 0.1, "map": {3: 12}}, "names class 12"),
        ({"kind": "asymmetric", "rate": 0.1, "map": "superclass_next"}, "10 classes"),
        (
            {"kind": "pmd", "type": "IV", "rate": 0.3, "posterior": "eta.npy"},
            "expected: one of I, II, III",
        ),
        ({"kind": "pmd", "type": "I", "rate": 0.3, "posterior": "no.npy"}, "'no.npy' is missing"),
        ({"kind": "instance", "rate": 0.3, "variant": "xia"}, "variant = 'xia'"),
    ],
)
def test_bad_specifications_are_one_clear_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(LabError, match=message) as caught:
        _make(**values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (softmax_rows(DATASET.train_labels, 10)[:, :7], r"holds float64 \[600, 7\]"),
        (np.log(softmax_rows(DATASET.train_labels, 10)), "do not sum to one"),
        (softmax_rows(np.roll(DATASET.train_labels, 1), 10), "no better than chance"),
        (np.vstack([softmax_rows(DATASET.train_labels, 10)] * 2), "has 1200 rows"),
        (np.full((600, 10), np.nan), "not finite"),
        (DATASET.train_labels, "holds int64"),
        (np.array([{}, []], dtype=object), "cannot be read"),
    ],
)
def test_a_posterior_of_other_images_is_refused(root: Path, array: Any, message: str) -> None:
    np.save(root / "bad.npy", array)
    with pytest.raises(LabError, match=message):
        _make(kind="dependent", rate=0.2, posterior="bad.npy")


def test_features_of_other_images_are_refused(root: Path) -> None:
    features = DATASET.train_images.reshape(600, -1).astype(np.float32)
    np.save(root / "features.npy", features)
    assert _make(kind="instance", rate=0.3, features="features.npy").card.n == 600
    np.save(root / "features.npy", np.roll(features, 1, axis=0))
    with pytest.raises(LabError, match="no better than chance"):
        _make(kind="instance", rate=0.3, features="features.npy")
    np.save(root / "features.npy", features[:599])
    with pytest.raises(LabError, match="599 rows; expected: 600, one per training image"):
        _make(kind="instance", rate=0.3, features="features.npy")
