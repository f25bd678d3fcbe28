"""The page in a browser: it loads nothing, draws every chart, and does what it offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis import report
from analysis.reporting.charts import libraries
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.browser import opened_page
from tests.support.results_builder import add_run

pytestmark = pytest.mark.services
METHODS = [f"method-{number:02d}" for number in range(40)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of forty methods on two noises."""
    folder = tmp_path_factory.mktemp("report")
    store = Store(folder / "store")
    for noise in ("pair", "sym"):
        for number, method in enumerate(METHODS):
            accuracies = [0.3 + number / 100, 0.4 + number / 100]
            curves = {"memorised": [0.1, 0.2]}
            add_run(store, accuracies, variant=method, noise=noise, curves=curves)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "libraries", libraries)
        report.write_report(Results(store.runs(), store.epochs()), folder)
    return folder / "report.html"


def drawn(page: Any, place: Path) -> list[str]:
    """Open the page and look at all of it; returns what it asked for and complained about."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("console", lambda text: seen.append(text.text) if text.type == "error" else None)
    page.goto(place.as_uri())
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator("svg").wait_for()
    return seen


def lines(page: Any) -> list[tuple[str | None, str | None]]:
    """Colour and dash of each visible line of the first chart."""
    paths = page.locator(".chart").first.locator("g.mark-line path")
    return [
        (path.get_attribute("stroke"), path.get_attribute("stroke-dasharray"))
        for path in paths.all()
        if path.get_attribute("d")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_loads_nothing_and_fits(place: Path, width: int, scheme: str) -> None:
    with opened_page(width, 850, color_scheme=scheme) as page:
        assert drawn(page, place) == [place.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        # Forty lines, no two alike, in colours of this kind of page.
        looks = lines(page)
        assert len(looks) == len(set(looks)) == 40
        assert ("#ffffff" in dict(looks)) == (scheme == "dark")
        ink = page.locator(".chart svg g.role-axis-label text").first.get_attribute("fill")
        assert ink == {"light": "#1c2430", "dark": "#e4e8ee"}[scheme]


def test_methods_tables_and_runs_do_what_the_page_offers(place: Path) -> None:
    with opened_page(1500, 850) as page:
        drawn(page, place)
        page.get_by_label("find methods").fill("method-1")
        page.get_by_role("button", name="all off").click()
        assert page.locator("#shown").text_content() == "30 of 40 shown"
        page.wait_for_function(
            "document.querySelector('.chart').querySelectorAll('g.mark-line path').length === 30"
        )
        table = page.locator("table.sortable").first
        first = table.locator("tbody td").first
        assert first.text_content().strip() == "method-39"
        table.locator("th", has_text="pair").click()
        assert first.text_content().strip() == "method-39"
        table.locator("th", has_text="pair").click()
        assert first.text_content().strip() == "method-00"
        confusion = page.locator("select").first
        confusion.select_option(label="method-07")
        runs = page.locator("details.runs")
        runs.locator("summary").click()
        boxes = runs.locator("input[type=checkbox]")
        for number in (0, 5, 7):
            boxes.nth(number).check()
        assert not boxes.nth(0).is_checked()
        beside = runs.locator(".beside")
        assert beside.locator("h3").text_content() == "method-02 sym s0 and method-03 sym s0"
        rows = dict.fromkeys(
            tuple(cell.text_content() for cell in row.locator("td").all())
            for row in beside.locator("tbody tr").all()
        )
        assert ("loss", "method-02", "method-03", "") in rows
        assert ("test accuracy, last", "42.0", "43.0", "-1.0") in rows
        beside.locator(".chart svg").nth(1).wait_for()
        assert "analysis/runs.py diff r" in beside.locator("code").text_content()
