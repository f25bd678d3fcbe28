"""Tables and the report say what the runs can tell: bold, captions, two rows, mean ranks."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from scipy import stats

from analysis.comparison import compare
from analysis.layouts.layout import Layout, lay_out
from analysis.layouts.two_rows import lay_out_two_rows, two_rows
from analysis.leaderboard import main
from analysis.report import write_report
from analysis.reporting.rank_section import RankSection, rank_sections
from pipeline.errors import LabError
from pipeline.results.foreign import UNKNOWN
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.results_builder import add_run

DAL, SCE, CE = (0.84, 0.86, 0.85, 0.87), (0.85, 0.84, 0.86, 0.85), (0.61, 0.64, 0.60, 0.63)


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def store(empty: Store) -> Store:
    """Three rows with four seeds in one place."""
    for variant, accuracies in (("dal", DAL), ("sce", SCE), ("ce", CE)):
        add(empty, variant, accuracies)
    return empty


def add(store: Store, variant: str, accuracies, **row) -> None:
    for seed, accuracy in enumerate(accuracies):
        add_run(store, (accuracy,), variant=variant, seed=seed, **row)


def table(store: Store, **question) -> Layout:
    return lay_out(compare(Results(store.runs(), store.epochs()), **question))


def bold(layout: Layout) -> list[str]:
    return [row[0].text for row in layout.rows if any(cell.best for cell in row)]


def test_bold_is_the_best_and_what_is_not_separable_from_it(store: Store) -> None:
    layout = table(store)
    assert bold(layout) == ["dal", "sce"]
    assert "Bold: the best, and what is not separable from it at 5 %" in layout.caption
    assert "Holm over all pairs of rows" in layout.caption
    assert "cannot be told" not in layout.caption
    add(store, "new", (0.83,))
    layout = table(store)
    assert bold(layout) == ["dal", "sce"]
    assert "Values of which that cannot be told, not bold: 1; it takes two shared" in layout.caption


def test_with_one_run_each_nothing_is_told_and_the_caption_says_so(empty: Store) -> None:
    for variant, accuracy in (("dal", 0.85), ("ce", 0.849)):
        add(empty, variant, (accuracy,))
    layout = table(empty)
    assert bold(layout) == ["dal"]
    assert (
        "Bold: the best mean only; what is not separable from it cannot be told" in layout.caption
    )


def test_where_nothing_is_compared_nothing_is_said_of_bold(empty: Store) -> None:
    add(empty, "dal", DAL)
    add(empty, "ce", CE, epochs=5)
    layout = table(empty)
    assert bold(layout) == []
    assert "Bold" not in layout.caption


def test_equal_numbers_on_other_labels_are_not_paired(store: Store) -> None:
    moved = Store(store.place.folder / "moved")
    add(moved, "dal", DAL)
    add(moved, "ce", CE, labels_digest="drawn anew")
    assert bold(table(store)) != bold(table(moved)) == ["dal"]
    assert "Bold: the best mean only" in table(moved).caption


def test_runs_on_unknown_images_are_paired_with_nothing(store: Store) -> None:
    for variant, accuracies in (("foreign/a", [0.9, 0.91, 0.89]), ("foreign/b", [0.1, 0.12, 0.13])):
        add(store, variant, accuracies, data_digest=UNKNOWN)
    assert bold(table(store)) == ["foreign/a"]
    with pytest.raises(LabError, match="share no label table and seed"):
        two(store, "foreign/a", "foreign/b")


def two(store: Store, *printed: str, **question) -> Layout:
    comparison = compare(Results(store.runs(), store.epochs()), **question)
    return lay_out_two_rows(comparison, two_rows(comparison, printed))


def test_two_rows_side_by_side(store: Store) -> None:
    layout = two(store, "dal", "ce")
    [[row]] = layout.blocks
    assert layout.header == [
        "noise", "dal", "ce", "difference", "95 % interval", "p", "corrected p",
        "seeds", "seeds needed",
    ]  # fmt: skip
    low, high = stats.ttest_rel(DAL, CE).confidence_interval(0.95)
    assert [cell.text for cell in row] == [
        "sym", "85.5", "62.0", "+23.5", f"+{100 * low:.1f} to +{100 * high:.1f}",
        "< 0.001", "< 0.001", "4", "2",
    ]  # fmt: skip
    assert not any(cell.best for cell in row)
    assert layout.caption.startswith("digits: dal less ce, test_accuracy in percent; protocol last")
    assert "Interval and p: paired t-test. " in layout.caption
    assert two(store, "ce", "dal").rows[0][3].text == "-23.5"
    assert "more)" in two(store, "dal", "sce").rows[0][-1].text


def test_two_rows_over_several_places(store: Store) -> None:
    for number in range(2):
        for variant, accuracies in (("dal", DAL), ("ce", [value + 0.02 for value in SCE])):
            add(store, variant, accuracies[: 4 - 3 * number], noise=f"pair-{number}", epochs=3)
    add(store, "dal", DAL, noise="alone", epochs=3)
    layout = two(store, "dal", "ce")
    first, second, third, overall = [[cell.text for cell in row] for row in layout.rows]
    assert [row[0] for row in (first, second, third)] == ["pair-0", "pair-1", "sym"]
    assert second[3:] == ["-3.0", "not told: one shared seed", "–", "–", "1", "–"]
    assert overall[0] == "all places"
    assert overall[5] == f"{stats.wilcoxon([-0.01, -0.03, 0.235]).pvalue:.3f}"
    assert "corrected p: Holm over 2 places" in layout.caption
    assert "So few places give p = 0.25 at least: too few for a finding" in layout.caption
    assert "Places in which only one of the two has a number: 1" in layout.caption
    for variant, accuracies in (("dal", DAL), ("ce", CE)):
        add(store, variant, accuracies, dataset="web")
    layout = two(store, "dal", "ce")
    assert layout.header[:2] == ["data set", "noise"]
    assert [[row[0].text, row[1].text] for row in layout.rows[-2:]] == [
        ["web", "sym"],
        ["all places", ""],
    ]
    assert layout.caption.startswith("digits, web: dal less ce")


def test_ten_seeds_have_a_bootstrap_interval(empty: Store) -> None:
    add(empty, "dal", (*DAL, *DAL, 0.86, 0.88))
    add(empty, "ce", (*CE, *CE, 0.61, 0.60))
    layout = two(empty, "dal", "ce")
    place = layout.header.index("bootstrap")
    assert re.fullmatch(r"\+2\d\.\d to \+2\d\.\d", layout.rows[0][place].text)
    assert "Bootstrap: 95 % interval of the mean, percentile from 10 seeds" in layout.caption


def test_ten_places_have_a_bootstrap_interval_over_them(empty: Store) -> None:
    for number in range(10):
        add(empty, "dal", (0.8 + number / 200,), noise=f"pair-{number}")
        add(empty, "ce", (0.7,), noise=f"pair-{number}")
    layout = two(empty, "dal", "ce")
    place = layout.header.index("bootstrap")
    assert {row[place].text for row in layout.blocks[0]} == {"–"}
    assert re.fullmatch(r"\+1[12]\.\d to \+1[23]\.\d", layout.rows[-1][place].text)


def test_diverged_runs_are_counted_beside_the_pairs(store: Store) -> None:
    add_run(store, (0.1,), variant="ce", seed=7, status="diverged")
    layout = two(store, "dal", "ce")
    assert layout.rows[0][-2].text == "4"
    assert "Left out, diverged: 1 runs of ce" in layout.caption
    assert "runs of dal" not in layout.caption


def test_two_rows_of_unequal_conditions_or_knowledge_say_so(store: Store) -> None:
    add(store, "long", (0.9, 0.91, 0.89), epochs=90, knows=["noise_rate"])
    layout = two(store, "long †", "ce")
    assert layout.header[1] == "long"
    assert "The two differ in epochs (90 and 3)" in layout.caption
    assert "differ in" not in two(store, "dal", "ce").caption


def test_columns_of_by_are_places(store: Store) -> None:
    add(store, "dal", DAL, backbone="resnet34", settings={"backbone": "resnet34"})
    layout = two(store, "dal", "ce", by=["backbone"])
    assert layout.header[:2] == ["noise", "backbone"]
    assert [row[1].text for row in layout.rows] == ["small-cnn"]
    assert "only one of the two has a number: 1" in layout.caption


def test_a_loss_says_that_lower_is_better(empty: Store) -> None:
    for variant in ("dal", "ce"):
        for seed in range(3):
            add_run(empty, (0.5,), variant=variant, seed=seed, curves={
                "test_loss": [1.0 + seed ** 2 / 7 if variant == "ce" else 0.5]
            })  # fmt: skip
    layout = two(empty, "dal", "ce", metric="test_loss")
    assert "test_loss; protocol last: last epoch, lower is better" in layout.caption
    assert layout.rows[0][3].text.startswith("-0.")


@pytest.fixture
def printed(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    add(store, "dal", DAL[::-1], noise="pair")
    add(store, "ce", CE, noise="pair")

    def show(*flags: str) -> str:
        monkeypatch.setattr(sys, "argv", ["leaderboard", "--store", store.place.address, *flags])
        main()
        return capsys.readouterr().out

    return show


def test_the_program_prints_two_rows_in_every_format(printed: Callable[..., str]) -> None:
    for style in ("terminal", "markdown", "latex"):
        shown = printed("--compare", "dal", "ce", "--format", style)
        assert "+23.5" in shown
        assert "Wilcoxon" in shown
    found = pl.read_csv(io.StringIO(printed("--compare", "dal", "ce", "--format", "csv")))
    assert found.select("dataset", "noise", "test", "n", "first", "second", "metric").rows() == [
        ("digits", "pair", "paired t", 4, "dal", "ce", "test_accuracy"),
        ("digits", "sym", "paired t", 4, "dal", "ce", "test_accuracy"),
        (None, None, "Wilcoxon over places", 2, "dal", "ce", "test_accuracy"),
    ]
    assert found["difference"].to_list() == pytest.approx([0.235] * 3)
    assert found["p"][1] == pytest.approx(stats.ttest_rel(DAL, CE).pvalue)
    assert found["p_corrected"].null_count() == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("dal", "cee"), "no row 'cee' with a number; expected: one of ce, dal, sce; try: ce"),
        (("ce", "ce"), "row 'ce' twice; expected: two rows; try: one of dal, sce"),
        (("ce", "other"), "'ce' and 'other' share no label table and seed; expected: runs of both"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    store: Store, printed: Callable[..., str], capsys: pytest.CaptureFixture[str], flags, said
) -> None:
    if "other" in flags:
        add_run(store, (0.5,), variant="other", seed=99)
    with pytest.raises(SystemExit):
        printed("--compare", *flags)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def ranked(store: Store) -> list[RankSection]:
    return rank_sections(Results(store.runs(), store.epochs()))


def test_methods_are_ranked_over_places(store: Store) -> None:
    assert ranked(store) == []
    captions = []
    for noise in ("pair", "instance"):
        for variant, accuracies in (("dal", DAL), ("sce", SCE), ("ce", CE)):
            add(store, variant, accuracies, noise=noise)
        [section] = ranked(store)
        captions.append(section.caption)
    assert "Mean rank over 2 places (digits pair, digits sym), by the mean over" in captions[0]
    assert "Friedman's test of equal rows: p = 0.14. No rows can be told apart" in captions[0]
    assert "Below 11 places both tests are approximate" in captions[0]
    # Three places of one order: p = exp(-3).
    assert "p = 0.05. Rows joined by a bar are not separable at 5 %" in captions[1]
    assert "Left out" not in captions[1]
    add(store, "part", DAL, noise="pair")
    [section] = ranked(store)
    assert section.caption.endswith("Left out, without a number in each place: part.")


def test_rows_of_unequal_conditions_are_not_ranked_together(store: Store) -> None:
    for number in range(2):
        for epochs, variants in ((3, ("dal", "sce", "ce")), (9, ("x", "y", "z"))):
            for place, variant in enumerate(variants):
                accuracies = [0.9 - 0.1 * place]
                add(store, variant, accuracies, noise=f"pair-{number}", epochs=epochs)
    longer, shorter = ranked(store)
    assert longer.caption.startswith("Mean rank over 2 places (digits pair-0, digits pair-1)")
    assert shorter.caption.startswith("Mean rank over 3 places")


def test_a_label_table_under_two_names_is_ranked_once(store: Store) -> None:
    for variant, accuracies in (("dal", DAL), ("sce", SCE), ("ce", CE)):
        add(store, variant, accuracies, noise="alias", labels_digest="one")
        add(store, variant, accuracies, noise="pair", labels_digest="one")
    [section] = ranked(store)
    assert section.caption.startswith("Mean rank over 2 places (digits alias, digits sym)")


def test_the_report_shows_mean_ranks(store: Store, tmp_path: Path) -> None:
    for variant in ("dal", "sce", "ce"):
        add(store, variant, (0.5,), noise="pair")
    write_report(Results(store.runs(), store.epochs()), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    [section] = ranked(store)
    assert section.figure.params["row_names"][1:] == ["dal", "sce", "ce"]
    ruler, *rows, bar = section.figure.rows
    assert [row["to"] for row in rows] == [1.5, 2.0, 2.5]
    assert (bar["row"], bar["last"]) == (1, 3)
    assert section.figure.params["row_names"][0] == f"critical difference {ruler['to'] - 1:.2f}"
    assert '{"chart": "ranks", "params": {"row_names": ["critical difference' in page
    assert "<figcaption>Mean rank over 2 places" in page
    assert page.count('class="best"') == 5  # two in one column, three equal in the other
