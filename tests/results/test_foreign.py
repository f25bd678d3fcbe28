"""Logs of other programs become rows that tables call foreign and no grid takes for its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from analysis.comparison import compare
from analysis.published.gaps import ledger
from analysis.published.numbers import curated
from pipeline.errors import LabError
from pipeline.files import methods_folder
from pipeline.grids import plan
from pipeline.results import __main__ as program
from pipeline.results.foreign import FOREIGN, import_foreign
from pipeline.results.store import Store
from pipeline.results.upkeep.compaction import compact
from pipeline.results.view import Results, read_views, write_view
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run

CARD: dict[str, Any] = {
    "name": "sln-authors", "source": "repository chenpf1025/SLN, commit 6a10a31", "seed": 1,
    "dataset": "cifar10", "noise": "sym", "noise_kind": "symmetric", "convention": "symmetric",
    "rate": 0.4, "method": "sln", "settings": {"sigma": 1.0}, "backbone": "wrn28-2",
    "n_train": 50_000,
}  # fmt: skip
LOG = "epoch,test_accuracy,train_loss\n0,0.5,1.5\n1,0.8,\n"


def imported(folder: Path, store: Store, log: str = LOG, **card: Any) -> str:
    (folder / "card.yaml").write_text(yaml.safe_dump({**CARD, **card}))
    (folder / "log.csv").write_text(log)
    return import_foreign(folder / "card.yaml", folder / "log.csv", store)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_log_comes_back_as_it_was_told(store: Store, tmp_path: Path) -> None:
    key = imported(tmp_path, store)
    assert imported(tmp_path, store) == key
    compact(store)
    row = store.runs().collect().row(0, named=True)
    assert (row["method"], row["variant"], row["status"]) == (
        FOREIGN, "foreign/sln-authors", "done",
    )  # fmt: skip
    assert "chenpf1025/SLN, commit 6a10a31" in row["settings"]
    unsaid = ("batch_size", "lr", "weight_decay", "n_val", "n_test", "git_commit", "host")
    assert [row[name] for name in unsaid] == [None] * len(unsaid)
    assert (row["precision"], row["epochs"]) == ("unknown", 2)
    epochs = store.epochs().select("epoch", "test_accuracy", "train_loss").collect()
    assert epochs.rows() == [(0, 0.5, 1.5), (1, 0.8, None)]
    assert store.samples().collect().is_empty()


def test_its_key_is_none_that_a_run_can_have(store: Store, tmp_path: Path) -> None:
    foreign, own = imported(tmp_path, store), add_run(store)
    assert (foreign[0], own[0]) == ("x", "r")
    # What tables read off the first of all runs of one noise is read off a run of this laboratory.
    assert sorted([foreign, own])[0] == own
    assert not (methods_folder() / f"{FOREIGN}.py").exists()


def test_a_plan_neither_finds_nor_names_it(store: Store, tmp_path: Path) -> None:
    imported(tmp_path, store)
    add_run(store, dataset="cifar10", method="sln", variant="sln", seed=1)
    places = plan._stored_by_place(store)
    assert [len(rows) for place, rows in places.items() if place[0] == "sln"] == [1]


def test_tables_call_it_foreign_and_never_average_it_with_runs(
    store: Store, tmp_path: Path
) -> None:
    imported(tmp_path, store)
    imported(tmp_path, store, LOG.replace("0.8", "0.9"), seed=2)
    add_run(store, (0.1,), dataset="cifar10", method="sln", variant="sln")
    cells = compare(Results(store.runs(), store.epochs())).cells
    assert cells.select("noise", "label", "n").rows() == [
        ("sym", "foreign/sln-authors", 2), ("sym", "sln", 1),
    ]  # fmt: skip
    write_view(store.runs().collect()["key"], tmp_path / "view", store)
    assert read_views([tmp_path / "view"]).runs.filter(method=FOREIGN).collect().height == 2


def test_it_stands_beside_published_numbers_of_its_method(store: Store, tmp_path: Path) -> None:
    imported(tmp_path, store)
    imported(tmp_path, store, name="nobody-knows", method=None, backbone="unknown")
    found = ledger(Results(store.runs(), store.epochs()), curated())
    beside = {(gap.own.label, gap.number.source): gap for gap in found.gaps}
    gap = beside["foreign/sln-authors", "sln2021"]
    assert gap.gap == pytest.approx(0.0)
    assert gap.differences == {"epochs": "epochs 2 (published 300)"}
    assert [own.label for own in found.alone] == ["foreign/nobody-knows"]


@pytest.mark.parametrize(
    ("card", "log", "message"),
    [
        ({"seed": None}, LOG, "seed"),
        ({"rate": 40}, LOG, "rate = 40.*at most 1"),
        ({"sauce": "x"}, LOG, "unknown key 'sauce'"),
        ({"source": ""}, LOG, "source"),
        ({"settings": {"sigma": [1]}}, LOG, "sigma"),
        ({}, LOG.replace("test_accuracy", "accuracy"), "unknown column 'accuracy'"),
        ({}, "epoch,train_loss\n0,1\n", "lacks column 'test_accuracy'"),
        ({}, LOG.replace("0.8", "80"), "fractions in \\[0, 1\\]; try: divide percentages by 100"),
        ({}, LOG.replace("0.8", "high"), "line 3: test_accuracy = 'high'"),
        ({}, LOG.replace("1,0.8", "2,0.8"), "line 3: epoch 2; expected: 1"),
        ({}, LOG.replace("0,0.5", "nan,0.5"), "line 2: epoch nan; expected: 0"),
        ({}, LOG + "2,0.8\n", "line 4: 2 cells; expected: 3"),
        ({}, LOG + '2,"0.8,\n', "line 4"),
        ({}, "epoch,test_accuracy\n", "has no epochs"),
        ({}, "", "lacks column 'epoch'"),
    ],
)
def test_a_faulty_card_or_log_is_one_line_and_stores_nothing(
    card: dict[str, Any], log: str, message: str, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=message) as caught:
        imported(tmp_path, store, log, **card)
    assert "\n" not in str(caught.value)
    assert store.runs().collect().is_empty()


def test_another_log_under_the_same_card_is_refused(store: Store, tmp_path: Path) -> None:
    imported(tmp_path, store)
    with pytest.raises(LabError, match="another log of sln-authors with seed 1"):
        imported(tmp_path, store, LOG.replace("0.8", "0.9"))
    assert store.runs().collect().height == 1


def test_the_card_of_the_page_is_one(store: Store, tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "published.md").read_text()
    (card,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    log = re.findall(r"^    ((?:epoch|\d).*)$", page, re.MULTILINE)
    imported(tmp_path, store, "\n".join(log) + "\n", **yaml.safe_load(card))
    assert store.epochs().select("test_accuracy").collect()["test_accuracy"].to_list() == [
        0.312, 0.405,
    ]  # fmt: skip


def test_the_command_says_what_it_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(CARD))
    words = ["import-log", str(tmp_path / "card.yaml"), str(tmp_path / "log.csv")]
    monkeypatch.setattr(sys, "argv", ["results", *words, "--store", str(tmp_path / "store")])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert "log.csv is missing" in capsys.readouterr().err
    (tmp_path / "log.csv").write_text(LOG)
    program.main()
    (key,) = Store(tmp_path / "store").runs().select(pl.col("key")).collect()["key"]
    assert f"is run {key} of" in capsys.readouterr().out
