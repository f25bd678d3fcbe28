"""What the ledger of published numbers prints."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis import paper_delta
from analysis.published.numbers import Number
from analysis.report import write_report
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.results_builder import add_run

Say = Callable[..., str]
HEADER = ",".join(Number._fields)
ROW = (
    "paper,Table 1,{trust},cifar10,symmetric,0.4,SLN,sln,,,WRN-28-2,wrn28-2,none,300,50000,"
    "test_accuracy,{protocol},{value},0.01,1,5,"
)


@pytest.fixture
def lab(tmp_path: Path) -> list[str]:
    """Flags that name a store with two rows and a table with three numbers."""
    store = Store(tmp_path / "store")
    card = json.dumps({"convention": "symmetric"})
    for seed in (0, 1):
        add_run(
            store, (0.9, 0.80 + 0.02 * seed), seed=seed, method="sln", variant="sln",
            dataset="cifar10", backbone="wrn28-2", epochs=300, n_train=50_000, noise_card=card,
            recipe_status="published",
        )  # fmt: skip
    add_run(store, (0.5,), variant="dal", dataset="cifar10", noise_card=card)
    rows = [
        ROW.format(trust="A", protocol="last", value="0.80"),
        ROW.format(trust="C", protocol="oracle", value="0.95"),
        ROW.format(trust="D", protocol="last10", value="0.81"),
    ]
    path = tmp_path / "numbers.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return ["--store", str(tmp_path / "store"), "--numbers", str(path)]


@pytest.fixture
def say(lab: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the program with further flags: what it printed."""

    def run(*flags: str) -> str:
        monkeypatch.setattr(sys, "argv", ["paper_delta", *lab, *flags])
        paper_delta.main()
        return capsys.readouterr().out

    return run


def test_pairs_are_printed_and_the_others_counted(say: Say) -> None:
    text = say("--format", "markdown")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert lines[0] == paper_delta.HEADER
    # 0.01 / sqrt(0.0002 / 2 + 0.01 ** 2 / 5) = 0.913
    assert lines[2] == [
        "sln", "sym", "last", "81.0 ± 1.4 (2)", "80.0 ± 1.0 (5)", "+1.0", "+0.9", "none",
        "nothing", "paper, Table 1 (A)",
    ]  # fmt: skip
    assert lines[3][2:7] == ["oracle", "90.0 ± 0.0 (2)", "95.0 ± 1.0 (5)", "-5.0", "-11.2"]
    assert lines[4] == []
    assert "with a published number: 1; without: 1, which --all lists." in text
    assert "dal" not in text


def test_classes_choose_and_all_lists_the_rest(say: Say) -> None:
    text = say("--class", "D", "--all", "--format", "markdown")
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:4]] == ["sln", "dal"]
    assert "(D)" in text
    assert "(A)" not in text
    assert "with a published number: 1; without: 1." in text
    assert say("--class", "B") == (
        "Rows of ours with a published number: 0; without: 2, which --all lists.\n"
    )


def test_csv_has_fractions_and_the_verdict(say: Say) -> None:
    rows = list(csv.DictReader(io.StringIO(say("--format", "csv", "--all"))))
    assert [row["verdict"] for row in rows] == ["within 2 standard errors", "below", ""]
    assert (rows[0]["mean"], rows[0]["published_value"]) == ("0.81", "0.8")
    assert float(rows[0]["gap"]) == pytest.approx(0.01)
    assert (rows[2]["label"], rows[2]["published_value"]) == ("dal", "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class", "E"], "E"),
        (["--class"], "--class without a class"),
        (["--numbers", "no.csv"], "no.csv is missing"),
        (["--method", "elr"], "no run with method 'elr'"),
        (["--protocol", "lest"], "lest"),
    ],
)
def test_bad_input_is_one_line(
    flags: list[str],
    message: str,
    lab: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["paper_delta", *lab, *flags])
    with pytest.raises(SystemExit, match="2"):
        paper_delta.main()
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1


def test_the_report_has_a_badge_where_a_number_is_published(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    card = json.dumps({"convention": "symmetric"})
    for variant, recipe in (("sln", "published"), ("sop", "own")):
        for seed in (0, 1):
            add_run(
                store, (0.9, 0.79 + 0.02 * seed), seed=seed, variant=variant, dataset="cifar10",
                backbone="wrn28-2", epochs=300, n_train=50_000, noise_card=card,
                recipe_status=recipe, settings={"sigma": 1.0},
            )  # fmt: skip
    write_report(Results(store.runs(), store.epochs()), tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    # 80.00 ± 0.61 of five runs, as quoted beside a re-implementation.
    assert "published 80.0 ± 0.6 (5) B: within 2 standard errors</div>" in page
    assert page.count('class="published"') == 3  # under last, last10 and oracle; none for sop
