"""A bundle opens anywhere: with our programs, with polars alone, with DuckDB alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import duckdb
import polars as pl
import pytest

from analysis import report
from analysis.bundle import write_bundle
from pipeline.results.store import Store
from pipeline.results.upkeep.compaction import compact
from pipeline.results.view import stored, write_view
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run


def unpacked(path: Path) -> Path:
    """A bundle as a folder."""
    with ZipFile(path) as zipped:
        assert zipped.testzip() is None
        zipped.extractall(path.with_suffix(""))
    return path.with_suffix("")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Runs of two methods on two data sets, one of them under two names."""
    store = Store(tmp_path / "store")
    for seed in range(2):
        add_run(store, (0.5, 0.25 + seed / 2), seed=seed)
        add_run(store, (0.125,), dataset="web", variant="dal", seed=seed)
    add_run(store, (0.75,), noise="pair", also_named=["digits/alias"])
    compact(store)
    return store


@pytest.mark.slow
def test_a_bundle_opens_with_our_programs_and_as_a_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--store", store.place.address, "--dataset", "digits", "--samples"]
    made = ["--out", str(tmp_path / "report"), "--bundle", str(tmp_path / "digits.zip")]
    monkeypatch.setattr(sys, "argv", ["report", *words, *made])
    report.main()
    folder = unpacked(tmp_path / "digits.zip")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "digits" in page
    assert "web" not in page
    inside = Store(folder / "store")
    wanted = store.runs().filter(dataset="digits").sort("key").collect()
    assert inside.runs().sort("key").collect().equals(wanted)
    for table in ("epochs", "samples"):
        rows = getattr(store, table)().join(wanted.lazy().select("key"), on="key", how="semi")
        found = getattr(inside, table)().collect()
        assert found.sort(found.columns[:2]).equals(rows.collect().sort(found.columns[:2]))
    assert inside.check_files() == 2 + 2
    shown = subprocess.run(
        [sys.executable, "analysis/leaderboard.py", "--store", folder / "store", "--format", "csv"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "alias" in shown
    # It is a store like any other, which can grow.
    add_run(inside, seed=9)
    compact(inside)
    assert inside.runs().collect().height == 4


def test_the_same_results_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    keys = store.runs().collect()["key"].to_list()
    other = Store(tmp_path / "other")
    add_run(other, (0.75,), noise="pair", also_named=["digits/alias"], host="another")
    for seed in (1, 0):
        add_run(other, (0.125,), dataset="web", variant="dal", seed=seed, seconds=9.0)
        add_run(other, (0.5, 0.25 + seed / 2), seed=seed, git_commit="f" * 40)
    contents = []
    for number, each in enumerate((store, other)):
        view, made = tmp_path / f"{number}.parquet", tmp_path / f"{number}.zip"
        write_view(keys, view, each)
        assert write_bundle(made, b"page", stored([view]), keys, each) == 5
        contents.append(made.read_bytes())
    assert contents[0] == contents[1]


def test_a_bundle_opens_without_us(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = store.runs().collect()["key"].to_list()
    write_bundle(tmp_path / "all.zip", b"page", stored(store=store), keys)
    folder = unpacked(tmp_path / "all.zip")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert not (folder / "store" / "samples").exists()
    monkeypatch.chdir(folder)
    names: dict[str, pl.DataFrame] = {}
    (python,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(python, names)
    means = names["joined"].group_by("dataset", "noise").agg(pl.col("test_accuracy").mean())
    by_name = {(dataset, noise): mean for dataset, noise, mean in means.iter_rows()}
    assert by_name == {("digits", "sym"): 0.5, ("web", "sym"): 0.125, ("digits", "pair"): 0.75}
    (sql,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    rows = duckdb.connect().execute(sql).fetchall()
    assert {(dataset, noise): mean for dataset, noise, _, mean in rows} == by_name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bundle", "out.tar"], "bundle out.tar; expected: a name that ends in .zip; try: --bun"),
        (["--samples"], "--samples without --bundle"),
        (["--dataset", "cifar", "--bundle", "a.zip"], "no run with dataset 'cifar'"),
    ],
)
def test_what_cannot_be_bundled_is_said_in_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], said: str,
) -> None:  # fmt: skip
    out = ["--out", str(tmp_path / "report")]
    monkeypatch.setattr(sys, "argv", ["report", "--store", store.place.address, *out, *words])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        report.main()
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1
    assert not (tmp_path / "report").exists()
