"""The report is self-contained and deterministic, and its numbers are those of the store."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from analysis.comparison import compare
from analysis.curves import mean_curves
from analysis.report import write_report
from pipeline.errors import LabError
from pipeline.results.store import Store
from pipeline.results.view import Results, results, write_view
from tests.support.results_builder import add_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two methods on two noises with two seeds, a diverged run, and a set without clean labels."""
    store = Store(tmp_path / "store")
    for noise in ("pair", "sym"):
        for seed in (0, 1):
            for variant, gain in (("ce", 0.0), ("dal", 0.1)):
                add_run(
                    store,
                    (0.8 + gain, 0.6 + gain + 0.1 * seed),
                    variant=variant,
                    noise=noise,
                    seed=seed,
                    curves={
                        "memorised": [0.1, 0.3 + 0.2 * seed],
                        "val_noisy_accuracy": [0.5, 0.4],
                    },
                )
    add_run(store, (0.2,), noise="sym", seed=2, status="diverged", status_detail="loss <nan>")
    add_run(store, (0.5,), dataset="web", noise="given", noise_card=None, realised_rate=None)
    return store


def read(store: Store) -> Results:
    return Results(store.runs(), store.epochs())


class Tags(HTMLParser):
    """Collects what a page refers to, its charts and rows, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []
        self.cells: list[dict[str, str | None]] = []
        self.data: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note references, cells, and tags that have to be closed."""
        self.references += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag == "td":
            self.cells.append(dict(attrs))
        if tag not in {"meta", "img", "input"}:
            self.open.append(tag)

    def handle_data(self, data: str) -> None:
        """Keep what lies in the page as JSON."""
        if self.open and self.open[-1] == "script" and data.startswith(("{", "[")):
            self.data.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Refuse a tag closed out of order."""
        assert self.open.pop() == tag


def tags_of(folder: Path) -> Tags:
    tags = Tags()
    tags.feed((folder / "report.html").read_text(encoding="utf-8"))
    return tags


def test_report_refers_to_nothing_outside(store: Store, tmp_path: Path) -> None:
    write_report(read(store), tmp_path)
    tags = tags_of(tmp_path)
    assert not tags.open
    assert all(reference.startswith("#") for reference in tags.references)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    # A browser is told to load nothing, whatever a script asks for.
    assert "Content-Security-Policy\" content=\"default-src 'none'; img-src data:" in page
    assert "url(" not in page
    assert "@import" not in page
    assert "loss &lt;nan&gt;" in page


def test_every_figure_names_a_chart_and_every_row_has_a_key(store: Store, tmp_path: Path) -> None:
    write_report(read(store), tmp_path)
    tags = tags_of(tmp_path)
    inside = [json.loads(text) for text in tags.data]
    figures = [one for one in inside if "chart" in one]
    # Of two noises two curves, matrix, classes and confusion; the web has no matrix.
    names = ["curves", "curves", "transition", "classes", "confusion"]
    assert [one["chart"] for one in figures] == [*names, *names, "curves", "classes", "confusion"]
    charts = next(one for one in inside if "ranks" in one)
    for figure in figures:
        known = {param["name"] for param in charts[figure["chart"]]["params"]}
        assert set(figure["params"]) <= known
    assert tags.cells
    assert all("data-key" in cell for cell in tags.cells)
    assert {cell["data-key"] for cell in tags.cells} >= {"dal", "75.0", "0.75", ""}


def test_links_of_runs(store: Store, tmp_path: Path) -> None:
    keys = store.runs().collect()["key"].sort().to_list()
    write_report(read(store), tmp_path, {keys[0]: "http://127.0.0.1:5000/#/experiments/1/runs/a"})
    outside = [one for one in tags_of(tmp_path).references if not one.startswith("#")]
    assert outside == ["http://127.0.0.1:5000/#/experiments/1/runs/a"]


def test_report_from_store_and_view_is_the_same_twice(store: Store, tmp_path: Path) -> None:
    keys = store.runs().collect()["key"]
    write_view(keys, tmp_path / "view", store)
    for name, source in (
        ("a", read(store)),
        ("b", results([tmp_path / "view"])),
        ("c", results([tmp_path / "view"])),
    ):
        write_report(source, tmp_path / name)
    written = {
        name: {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*.*")
        }
        for name in ("a", "b", "c")
    }
    assert len(written["a"]) == 8
    assert written["a"] == written["b"] == written["c"]


def test_the_order_of_the_rows_changes_no_bit(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for seed in range(30):
        add_run(store, (0.1 + seed / 97, 0.7 / (1 + seed)), seed=seed)
    runs, epochs = store.runs().collect(), store.epochs().collect()
    shuffled = [
        Results(
            runs.sample(fraction=1, shuffle=True, seed=order).lazy(),
            epochs.sample(fraction=1, shuffle=True, seed=order).lazy(),
        )
        for order in range(5)
    ]
    for numbers in (mean_curves, lambda results: compare(results, "last10").cells):
        first, *others = map(numbers, shuffled)
        assert all(other.equals(first) for other in others)


def test_numbers_of_the_report(store: Store, tmp_path: Path) -> None:
    write_report(read(store), tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["digits"]["sym"]["ce"] == {
        "last": 0.65,
        "last10": 0.725,
        "best-noisy-val": 0.8,
        "best-clean-val": None,
        "fewest-changes": None,
        "oracle": 0.8,
        "memorised": 0.4,
        "n": 2,
        "diverged": 1,
    }
    assert metrics["web"]["given"]["ce"]["memorised"] is None
    # What `dvc metrics show` prints: a line per method, a column per noise.
    last = {path.name: json.loads(path.read_text()) for path in (tmp_path / "last").iterdir()}
    assert last["dal.json"] == {"digits": {"pair": 0.75, "sym": 0.75}}
    assert last["ce.json"] == {"digits": {"pair": 0.65, "sym": 0.65}, "web": {"given": 0.5}}
    assert {path.name for path in (tmp_path / "curves").iterdir()} == {
        "digits-pair.svg", "digits-sym.svg", "web-given.svg",
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    row = re.search(r">dal</td>\s*<td [^>]*>75.0 ± 7.1</td>.*?</tr>", page, re.DOTALL)
    assert row
    # Oracle 90, less 75 of the last epoch, 82.5 of the mean and 90 by noisy validation.
    assert re.findall(r"\+[0-9.]+", row.group()) == ["+15.0", "+7.5", "+0.0"]
    assert page.count("optimism of oracle over") == 3
    assert "realised rate unknown" in page


def test_curves_are_means_over_finished_seeds(store: Store, tmp_path: Path) -> None:
    write_report(read(store), tmp_path)
    curves = pl.read_csv(tmp_path / "curves.csv")
    end = curves.row(
        by_predicate=(pl.col("noise") == "sym")
        & (pl.col("method") == "ce")
        & (pl.col("epoch") == 1),
        named=True,
    )
    assert end["n"] == 2
    assert end["test_accuracy"] == pytest.approx(0.65)
    assert end["test_accuracy_std"] == pytest.approx(0.070711, abs=1e-6)
    assert end["memorised"] == pytest.approx(0.4)
    assert curves.height == mean_curves(read(store)).height == 9


def test_report_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no runs"):
        write_report(read(Store(tmp_path / "empty")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_report_of_diverged_runs_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add_run(store, (), status="diverged", status_detail="loss is nan in epoch 0")
    write_report(read(store), tmp_path / "out")
    assert "loss is nan" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_averaged_weights_have_rows_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    curves = {"memorised": [0.3], "averaged_test_accuracy": [0.75]}
    add_run(store, (0.6,), variant="sln", settings={"averaging": 0.9}, curves=curves)
    write_report(read(store), tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    found = metrics["digits"]["sym"]
    assert (found["sln"]["last"], found["sln"]["memorised"]) == (0.6, 0.3)
    assert (found["sln (averaged)"]["last"], found["sln (averaged)"]["memorised"]) == (0.75, None)


def test_a_rule_that_finds_no_epoch_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    falling = {"prediction_changes": [None, 3, 2, 1]}
    add_run(store, (0.5, 0.6, 0.7, 0.6), curves=falling)
    write_report(read(store), tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    header, row, *_ = page.split("optimism of oracle over")[1].split("</tr>")[1:]
    rules = ["last", "last10", "fewest-changes"]
    titles = ["method", *rules, "oracle", *rules, "memorised", "runs"]
    assert re.findall("<th>(.*?)</th>", header) == titles
    texts = re.findall("<td[^>]*>(.*?)</td>", row, re.DOTALL)
    texts[0] = texts[0].rpartition("</svg>")[2]
    # Last, mean, the rule, oracle, and what the oracle has more.
    expected = ["ce", "60.0", "60.0", "– (1 not found)", "70.0", "+10.0", "+10.0", "–"]
    assert texts[: len(expected)] == expected
