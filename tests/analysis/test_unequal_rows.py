"""Rows that differ in budget, network or start say so, and are not ranked as equals."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from analysis.comparison import compare
from analysis.layouts.layout import Layout, lay_out
from analysis.layouts.rendering import latex, markdown
from analysis.leaderboard import main
from analysis.report import write_report
from pipeline.results.store import Store
from pipeline.results.view import Results, write_view
from tests.support.results_builder import add_run


def add(store: Store, accuracy: float, variant: str, epochs: int = 25, **row: object) -> str:
    settings = {"epochs": epochs, **row.pop("settings", {})}
    return add_run(store, (accuracy,), variant=variant, epochs=epochs, settings=settings, **row)


@pytest.fixture
def store(lab: Path) -> Store:
    """The shape of the digits grid: losses of 25 epochs, label diffusion of 20, RRR of 15."""
    store = Store()
    keys = [
        add(store, 0.6, "ce"),
        add(store, 0.7, "dal"),
        add(store, 0.9, "diffusion", 20, method="lra", settings={"encoder": "simclr"}),
        add(store, 0.8, "rkd", 15, method="rrr"),
        add(store, 0.95, "fc", method="rrr", settings={"start_from": "simclr"}),
    ]
    write_view(keys, lab / "results" / "views" / "digits.parquet", store)
    add(store, 0.99, "trial", 2)
    return store


def table(store: Store, **question: object) -> Layout:
    return lay_out(compare(Results(store.runs(), store.epochs()), **question))


def test_rows_of_equal_conditions_stand_together_and_only_there_one_is_best(store: Store) -> None:
    layout = table(store)
    assert layout.header == ["method", "epochs", "start_from", "encoder", "sym"]
    assert [[[cell.text for cell in row] for row in block] for block in layout.blocks] == [
        [["dal", "25", "–", "–", "70.0 (1)"], ["ce", "25", "–", "–", "60.0 (1)"]],
        [["fc", "25", "simclr", "–", "95.0 (1)"]],
        [["diffusion", "20", "–", "simclr", "90.0 (1)"]],
        [["rkd", "15", "–", "–", "80.0 (1)"]],
        [["trial", "2", "–", "–", "99.0 (1)"]],
    ]
    assert [row[0].text for row in layout.rows if row[-1].best] == ["dal"]
    assert "Rows differ in epochs, start_from, encoder" in layout.caption
    assert latex(layout).count(r"\midrule") == 5
    assert markdown(layout).count("**") == 2


@pytest.mark.parametrize(
    ("name", "column", "other"),
    [
        ("epochs", {"epochs": 2}, {}),
        ("batch_size", {"batch_size": 512}, {}),
        ("n_train", {"n_train": 5000}, {}),
        ("backbone", {"backbone": "resnet34"}, {}),
        ("recipe", {"recipe": "paper"}, {}),
        ("precision", {"precision": "bf16"}, {}),
        ("start_from", {}, {"start_from": "simclr"}),
        ("encoder", {}, {"encoder": "clip"}),
        ("validation", {}, {"validation": "provided"}),
        ("crop_padding", {}, {"crop_padding": 4}),
        ("flip", {}, {"flip": True}),
        ("transform", {}, {"transform": "webvision"}),
        ("n_networks", {"n_networks": 2}, {}),
        ("n_trials", {"n_trials": 20}, {}),
    ],
)
def test_each_condition_that_differs_has_a_column(lab: Path, name, column, other) -> None:
    store = Store()
    add_run(store, (0.5,), variant="a")
    add_run(store, (0.6,), variant="b")
    assert table(store).header == ["method", "sym"]
    add_run(store, (0.7,), variant="c", settings=other, **column)
    layout = table(store)
    assert layout.header == ["method", name, "sym"]
    assert [row[0].text for row in layout.rows if row[-1].best] == ["b"]
    assert len(table(store, by=["epochs"]).blocks) == 2


def test_what_differs_between_data_sets_only_is_no_difference(lab: Path) -> None:
    store = Store()
    for dataset, epochs in (("cifar10", 120), ("cifar100", 200)):
        for variant in ("ce", "dal"):
            add(store, 0.5, variant, epochs, dataset=dataset, noise="sym")
    assert table(store).header == ["method", "cifar10 sym", "cifar100 sym"]


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *flags) -> list:
    monkeypatch.setattr(sys, "argv", ["leaderboard", "--format", "csv", *flags])
    main()
    header, *lines = capsys.readouterr().out.splitlines()
    place = header.split(",").index("label")
    return [line.split(",")[place] for line in lines]


def test_the_leaderboard_filters_by_grid_recipe_epochs_method_and_any_column(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, 0.5, "published", 150, recipe="paper")
    for flags, labels in (
        (["--grid", "digits"], ["ce", "dal", "diffusion", "fc", "rkd"]),
        (["--grid", "digits", "--epochs", "20", "15"], ["diffusion", "rkd"]),
        (["--recipe", "paper"], ["published"]),
        (["--method", "rrr"], ["fc", "rkd"]),
        (["--where", "start_from=simclr"], ["fc"]),
        (["--where", "epochs=2", "backbone=small-cnn"], ["trial"]),
        (["--where", "loss=dal", "loss=ce"], ["ce", "dal"]),
        (["--where", "epochs=2", "--where", "backbone=small-cnn"], ["trial"]),
        (["--where", "host=somewhere", "lr=0.1", "--method", "lra"], ["diffusion"]),
    ):
        assert printed(monkeypatch, capsys, *flags) == labels


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--grid", "digit"], "grid 'digit' has no view .*; expected: one of digits; try: digits"),
        (["--grid", "../digits"], "grid '../digits' has no view"),
        (["--epochs", "3"], "no run with epochs '3'; expected: one of 15, 2, 20, 25"),
        (
            ["--epochs", "2", "--method", "lra"],
            "among those chosen with epochs '2'; .* of 20;",
        ),
        (["--where", "backbon=x"], "column 'backbon'; expected: .*; try: backbone"),
        (["--where", "class_names=zero"], "column 'class_names'; expected: one of"),
        (["--grid", "digits", "--where", "host=x"], "column 'host'; expected: one of"),
        (["--grid", "digits", "--by", "host"], "column 'host'; expected: one of"),
        (["--by", "knows"], "column 'knows'; expected: one of"),
        (["--where", "backbone"], "filter 'backbone'; expected: column=value; try: --where"),
    ],
)
def test_a_filter_that_finds_nothing_says_what_there_is(
    store: Store, monkeypatch, capsys, flags, said
) -> None:
    monkeypatch.setattr(sys, "argv", ["leaderboard", *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(said, line)
    assert len(line) <= 600


def test_the_report_says_so_too(store: Store, tmp_path: Path) -> None:
    write_report(Results(store.runs(), store.epochs()), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<th>epochs</th><th>start_from</th><th>encoder</th>") == 2
    assert page.count('class="best"') == 1
