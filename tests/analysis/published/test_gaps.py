"""Gaps to published numbers by hand, and what is declared beside them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from analysis.published.gaps import Gap, Ledger, ledger
from analysis.published.numbers import Number
from pipeline.errors import LabError
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.results_builder import add_run

SLN = Number(
    "paper", "Table 1", "A", "cifar10", "symmetric", 0.4, "SLN", "sln", "", "", "WRN-28-2",
    "wrn28-2", "none", 300, 50_000, "test_accuracy", "last", 0.8, 0.02, 1, 5, "",
)  # fmt: skip
HERE: dict[str, Any] = {
    "method": "sln", "variant": "sln", "dataset": "cifar10", "backbone": "wrn28-2", "epochs": 300,
    "n_train": 50_000, "noise_card": json.dumps({"convention": "symmetric"}), "recipe": "paper",
    "recipe_status": "published", "settings": {"sigma": 1.0},
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three runs that end at 0.80, 0.82 and 0.84, a tenth below their best epoch."""
    store = Store(tmp_path / "store")
    for seed, accuracy in enumerate((0.80, 0.82, 0.84)):
        add_run(store, (accuracy + 0.1, accuracy), seed=seed, **HERE)
    return store


def found(store: Store, *numbers: Number, **question: Any) -> Ledger:
    return ledger(Results(store.runs(), store.epochs()), numbers, **question)


def only(store: Store, number: Number, **question: Any) -> Gap:
    (gap,) = found(store, number, **question).gaps
    return gap


def test_gap_in_standard_errors_of_both_sides(store: Store) -> None:
    gap = only(store, SLN)
    assert (gap.mean, gap.std, gap.n) == (pytest.approx(0.82), pytest.approx(0.02), 3)
    assert gap.gap == pytest.approx(0.02)
    error = math.sqrt(0.02**2 / 3 + 0.02**2 / 5)
    assert gap.standard_error == pytest.approx(error)
    assert gap.errors == pytest.approx(0.02 / error)
    assert (gap.differences, gap.unknown) == ({}, ())
    assert gap.verdict == "within 2 standard errors"


@pytest.mark.parametrize(("value", "verdict"), [(0.7, "above"), (0.9, "below")])
def test_a_gap_beyond_two_standard_errors_has_a_side(
    store: Store, value: float, verdict: str
) -> None:
    assert only(store, SLN._replace(value=value)).verdict == verdict


def test_a_deviation_of_the_population_is_made_a_samples(store: Store) -> None:
    """Of n values the population's variance is (n - 1) / n of the sample's."""
    population = SLN._replace(deviation=0.02 * math.sqrt(4 / 5), ddof=0)
    assert only(store, population).standard_error == pytest.approx(only(store, SLN).standard_error)


def test_one_known_spread_is_used_alone_and_the_other_named(store: Store) -> None:
    gap = only(store, SLN._replace(n=None))
    assert gap.standard_error == pytest.approx(0.02 / math.sqrt(3))
    assert gap.unknown == ("published spread",)
    assert gap.verdict == "within 2 standard errors; unknown: published spread"


def test_without_any_spread_there_are_no_standard_errors(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add_run(store, (0.8,), **HERE)
    gap = only(store, SLN._replace(deviation=None))
    assert (gap.errors, gap.unknown) == (None, ("published spread", "our spread"))
    assert gap.verdict == "no spread known; unknown: published spread, our spread"


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"noise": "symmetric-inclusive"}, "convention",
         "convention symmetric (published symmetric-inclusive)"),
        ({"epochs": 200}, "epochs", "epochs 300 (published 200)"),
        ({"backbone": "resnet34"}, "network", "network wrn28-2 (published resnet34)"),
        ({"backbone": "", "network": "WRN-28-10"}, "network",
         "network wrn28-2 (published WRN-28-10)"),
        ({"encoder": "imagenet"}, "start", "start none (published imagenet)"),
        ({"n_train": 45_000}, "images", "images 50000 (published 45000)"),
        ({"settings": "sigma=0.5"}, "sigma", "sigma 1.0 (published 0.5)"),
    ],
)  # fmt: skip
def test_what_differs_is_declared_in_words(
    store: Store, change: dict[str, Any], name: str, words: str
) -> None:
    gap = only(store, SLN._replace(**change))
    assert gap.differences == {name: words}
    assert gap.verdict == f"not comparable: {name}"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"noise": "symmetric?"}, "convention"),
        ({"protocol": None}, "protocol"),
        ({"epochs": None}, "epochs"),
        ({"backbone": "", "network": ""}, "network"),
        ({"encoder": ""}, "start"),
        ({"n_train": None}, "images"),
    ],
)
def test_what_a_source_does_not_say_stays_unknown(
    store: Store, change: dict[str, Any], name: str
) -> None:
    gap = only(store, SLN._replace(**change))
    assert (gap.differences, gap.unknown) == ({}, (name,))


def test_settings_that_are_not_the_published_ones_are_declared(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add_run(store, (0.8,), **HERE | {"recipe": "pocket", "recipe_status": "own"})
    assert only(store, SLN).differences == {"settings": "settings pocket, own"}


def test_ours_is_judged_by_the_published_protocol(store: Store) -> None:
    assert only(store, SLN._replace(protocol="oracle")).mean == pytest.approx(0.92)
    asked = only(store, SLN._replace(protocol="oracle"), protocol="last")
    assert asked.mean == pytest.approx(0.82)
    assert asked.differences == {"protocol": "protocol last (published oracle)"}


def test_a_protocol_that_ours_did_not_record_is_declared(store: Store) -> None:
    gap = only(store, SLN._replace(protocol="best-clean-val"))
    assert (gap.protocol, gap.mean) == ("last", pytest.approx(0.82))
    assert gap.differences == {"protocol": "protocol last (published best-clean-val)"}


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "cifar100"}, {"noise": "pair"}, {"rate": 0.2}, {"method": "elr"},
        {"method": ""}, {"weights": "averaged"}, {"metric": "ilsvrc_accuracy"},
    ],
)  # fmt: skip
def test_numbers_about_something_else_do_not_meet(store: Store, change: dict[str, Any]) -> None:
    ledger = found(store, SLN._replace(**change))
    assert ledger.gaps == []
    assert [own.label for own in ledger.alone] == ["sln"]


def test_averaged_weights_meet_published_ones_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    curves = {"averaged_test_accuracy": [0.7, 0.9]}
    settings = {"sigma": 1.0, "averaging": 0.999}
    add_run(store, (0.7, 0.8), curves=curves, **HERE | {"settings": settings})
    plain, averaged = found(store, SLN, SLN._replace(weights="averaged")).gaps
    assert (plain.own.label, plain.mean) == ("sln", 0.8)
    assert (averaged.own.label, averaged.mean) == ("sln (averaged)", 0.9)


def test_of_one_source_the_number_that_differs_least_is_taken(store: Store) -> None:
    sweep = [SLN._replace(settings=f"sigma={sigma}", value=sigma) for sigma in (0.2, 1, 0.5)]
    other = SLN._replace(source="other", settings="sigma=0.5", trust="C")
    gaps = found(store, *sweep, other).gaps
    assert [(gap.number.source, gap.number.settings) for gap in gaps] == [
        ("paper", "sigma=1"), ("other", "sigma=0.5"),
    ]  # fmt: skip


def test_labels_without_a_rate_meet_numbers_without_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    spec = {"details": {"made_from": {"spec": {"column": "worse_label"}}}}
    worst = {
        "noise_kind": "file", "nominal_rate": None,
        "noise_card": json.dumps({"convention": "human", **spec}),
    }  # fmt: skip
    add_run(store, (0.8,), **HERE | worst)
    assert found(store, SLN).gaps == []
    assert only(store, SLN._replace(noise="human/worst", rate=None)).differences == {}


def test_runs_that_did_not_finish_have_no_row(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(LabError, match="no runs yet"):
        found(store, SLN)
    add_run(store, (0.8,), status="diverged", **HERE)
    assert found(store, SLN) == ([], [])
