"""Names are text, whatever they hold: in pages, pictures, tables, files; few runs are counted."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from analysis.comparison import compare
from analysis.layouts.layout import Layout, lay_out
from analysis.layouts.rendering import latex, markdown, show
from analysis.leaderboard import main
from analysis.report import write_report
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.results_builder import add_run, run_row

NAMES = [
    "$x_{$", r"$\\foo$", "[/b]", "[bold]x", "<script>alert(1)</script>", "a\"b'c", "a|b", "a&amp;b",
    "**x**", "_x_", "`x`", r"\textbf{x}", "50%", "#1", "~", "^2", "{}", "{{ 7*7 }}", "a\nb", "—ü",
]  # fmt: skip


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def results(name: str, tmp_path: Path) -> Results:
    store = Store(tmp_path / "store")
    classes = [name, "other", "third"]
    for variant in (name, "ce"):
        add_run(store, (0.5, 0.6), variant=variant, noise=name, class_names=classes)
    add_run(store, (), seed=1, variant=name, noise=name, class_names=classes,
            status="diverged", status_detail=name)  # fmt: skip
    return Results(store.runs(), store.epochs())


class Texts(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.texts.append(data.strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append(tag)


def test_a_name_is_text_in_the_page_and_its_pictures(name, results, tmp_path) -> None:
    write_report(results, tmp_path / "new" / "folder")
    page = Texts()
    page.feed((tmp_path / "new" / "folder" / "report.html").read_text(encoding="utf-8"))
    assert name in page.texts
    assert "b" not in page.tags
    # Those of the page, and the data of four figures, confusions and runs.
    assert page.tags.count("script") == 4 + 4 + 2
    [picture] = (tmp_path / "new" / "folder" / "curves").iterdir()
    drawn = [text.text for text in ElementTree.parse(picture).iter() if text.text]
    assert " ".join(name.split()) in [" ".join(text.split()) for text in drawn]
    assert len(list((tmp_path / "new" / "folder" / "last").iterdir())) == 2


def test_a_name_is_text_in_tables(name, results, capsys) -> None:
    layout = lay_out(compare(results))
    show(layout)
    line = " ".join(name.split())
    assert line in capsys.readouterr().out
    plain = Layout(["method"], layout.blocks, "")
    rows = markdown(plain).splitlines()[2:4]
    assert all(row.count("|") - row.count(r"\|") == 3 for row in rows)
    assert rendered(markdown(layout)).count(line) >= 2
    body = latex(layout)
    braces = body.replace(r"\{", "").replace(r"\}", "")
    assert braces.count("{") == braces.count("}")
    assert body.replace(r"\$", "").count("$") % 2 == 0
    assert r"\textbf{x}" not in body


def rendered(text: str) -> str:
    """Markdown as a reader sees it: a backslash before a mark makes it text."""
    return "".join(text.replace("\\\\", "\0").split("\\")).replace("\0", "\\")


def shown(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(sys, "argv", ["leaderboard", *flags])
    main()


@pytest.mark.parametrize("style", ["terminal", "markdown", "latex", "csv"])
def test_few_runs_are_counted(lab, style, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit):
        shown(monkeypatch, "--format", style)
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        "error: no runs yet; expected: results of at least one run; try: uv run dvc repro"
    )
    store = Store()
    add_run(store, (), status="diverged", status_detail="loss is nan")
    store.write_run(run_row(variant="gce", status="failed"))
    shown(monkeypatch, "--format", style)
    out = capsys.readouterr().out
    if style != "csv":
        assert "1 diverged" in out
        assert "1 failed" in out
    write_report(Results(store.runs(), store.epochs()), lab / "report")
    assert list((lab / "report" / "last").iterdir()) == []
    add_run(store, (0.5,), variant="one")
    shown(monkeypatch, "--format", style)
    assert ("0.5" if style == "csv" else "50.0 (1)") in capsys.readouterr().out


@pytest.mark.slow
def test_nothing_in_analysis_loads_torch() -> None:
    names = [path.stem for path in Path("analysis").glob("*.py")]
    assert "leaderboard" in names
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module('analysis.' + name)"
        "\nprint({'torch', 'mlflow', 'accelerate'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
