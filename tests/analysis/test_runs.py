"""Runs by themselves: the list, the page of one, two side by side."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analysis import runs
from analysis.single_runs.difference import difference
from analysis.single_runs.listing import list_runs
from analysis.single_runs.page import epochs_table, facts_of, lines_of
from pipeline.errors import LabError
from pipeline.results.store import Store
from pipeline.results.view import results, write_view
from pipeline.storage.belongings import Belongings, belongings
from tests.support.results_builder import add_run, run_row

STOP = "stopped by SIGTERM; the state is saved, the same command continues"


@pytest.fixture
def store(lab: Path) -> Store:
    """Two seeds of one method, another method, and a run that was stopped."""
    store = Store()
    for number, (variant, seed) in enumerate((("ce", 0), ("ce", 1), ("gce", 0))):
        add_run(
            store,
            (0.5, 0.7, 0.6 + 0.05 * number),
            variant=variant,
            seed=seed,
            settings={"q": 0.3 * number, "momentum": 0.9},
            curves={"memorised": [0.1, 0.2, 0.3]},
            started_at=datetime(2026, 1, 1 + number, tzinfo=UTC),
            grid="tiny",
            encoders=["warm"],
            encoder_digest="e" * 16,
        )
    store.write_run(run_row(seed=9, status="running", status_detail=STOP, grid="single"))
    return store


def key_of(store: Store, **wanted: object) -> str:
    return str(store.runs().filter(**wanted).collect()["key"].item())


def texts(store: Store, *further: str, most: int = 0, **wanted: str) -> list[list[str]]:
    where = {name: [value] for name, value in wanted.items()}
    layout = list_runs(results((), store), where, further, most)
    return [[cell.text for cell in row] for row in layout.rows]


def test_the_list_is_of_all_runs_the_newest_last(store: Store) -> None:
    rows = texts(store)
    assert [(row[2], row[5], row[7], row[8]) for row in rows] == [
        ("ce", "9", "stopped", "–"), ("ce", "0", "done", "60.0 %"),
        ("ce", "1", "done", "65.0 %"), ("gce", "0", "done", "70.0 %"),
    ]  # fmt: skip
    assert [row[9][:10] for row in rows[1:]] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert [row[0] for row in texts(store, most=1)] == [key_of(store, variant="gce")]
    assert texts(store, status="stopped") == rows[:1]
    assert [row[8] for row in texts(store, "q", "grid", variant="gce")] == ["0.6"]
    for name in ("no_such", "momentun"):
        with pytest.raises(LabError, match=f"column '{name}'"):
            texts(store, name)
    with pytest.raises(LabError, match="no run with status 'halted'; .*"):
        texts(store, status="halted")


def test_a_view_is_listed_without_what_it_does_not_hold(store: Store, lab: Path) -> None:
    path = lab / "results" / "views" / "tiny.parquet"
    write_view([key_of(store, variant="gce")], path, store)
    layout = list_runs(results([path]), {}, (), 0)
    assert layout.header[-1] == "test accuracy"
    assert [row[-1].text for row in layout.rows] == ["70.0 %"]


def test_the_page_of_a_run_tells_why_it_is_stored_and_what_it_left(store: Store) -> None:
    key = key_of(store, variant="gce")
    store.place.put(f"encoders/{key}/card.json", b"{}")
    (row,) = store.runs([key]).collect().to_dicts()
    epochs = store.epochs([key]).sort("epoch").collect()
    facts = facts_of(row, epochs, belongings(store.artefacts, key), {"tiny": [key]})
    page = "\n".join(lines_of(row, facts))
    assert page.startswith(f"run {key}: robust_loss gce, digits, sym, seed 0\n")
    for name, text in {
        "status": "done",
        "test_accuracy, oracle": "70.0 %",
        "memorised, last": "30.0 %",
        "first computed for": "grid tiny",
        "in the views of": "tiny",
        "labels": f"sym (symmetric, asked for 40.0 %, realised 41.0 %), digest "
        f"{row['labels_digest']}",
        "encoders": f"warm, digest {'e' * 16}",
        "weights": store.place.uri(f"encoders/{key}"),
        "softmax outputs": "none kept; --posterior keeps them",
        "q": "0.6",
    }.items():
        assert any(line.split("  ")[1:2] == [name] and line.endswith(f"  {text}")
                   for line in page.splitlines()), (name, page)  # fmt: skip


def test_epochs_are_few_unless_all_are_asked_for_and_the_last_is_among_them(store: Store) -> None:
    key = add_run(store, [0.001 * number for number in range(100)], seed=5)
    epochs = store.epochs([key]).sort("epoch").collect()
    few, every = epochs_table(epochs, False), epochs_table(epochs, True)
    assert len(few.rows) == 12
    assert [cell.text for cell in few.rows[-1]] == ["99", "–", "9.9"]
    assert "12 of 100 epochs" in few.caption
    assert len(every.rows) == 100


def test_two_runs_side_by_side_show_differences_and_figures_only(store: Store) -> None:
    first, second = key_of(store, variant="ce", seed=0), key_of(store, variant="gce")
    rows = {row["key"]: row for row in store.runs([first, second]).collect().to_dicts()}
    epochs = {key: store.epochs([key]).sort("epoch").collect() for key in rows}
    layout = difference(rows[first], rows[second], epochs)
    found = {row[0].text: [cell.text for cell in row[1:]] for row in layout.rows}
    assert found["q"] == ["0", "0.6", ""]
    assert found["loss"] == ["ce", "gce", ""]
    assert found["test_accuracy, last"] == ["60.0 %", "70.0 %", "-10.0"]
    assert found["memorised, last"] == ["30.0 %", "30.0 %", "+0.0"]
    assert not {"momentum", "dataset", "labels_digest", "settings", "started_at"} & found.keys()
    assert "Alike: 3 of 5 settings." in layout.caption
    assert rows[first]["key"] in layout.caption


def test_the_program_takes_beginnings_of_keys_and_complains_in_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["analysis/runs.py", *words])
        with suppress(SystemExit):
            runs.main()
        out, err = capsys.readouterr()
        return out, err

    stopped, done = run_row(seed=9)["key"], key_of(store, variant="gce")
    assert STOP in said("show", stopped)[0]
    out, err = said("show", done[:8])
    assert (f"run {done}: " in out, err) == (True, "")
    out, err = said("diff", done, stopped, "--format", "markdown")
    assert "accuracy, last | 70.0 % | – |" in out
    assert "stopped" in said("list", "--where", "status=stopped")[0]
    for words, complaint in (
        (("show", "rzzz"), "run 'rzzz' is not in "),
        (("show", "r"), "begins the keys of 4 runs"),
        (("diff", done, done[:8]), f"run {done} is named twice"),
        (("list", "--where", "status"), "filter 'status'"),
    ):
        out, err = said(*words)
        assert (out, len(err.splitlines())) == ("", 1)
        assert complaint in err


def test_what_belongs_to_runs_of_another_store_is_looked_for_there(
    store: Store, tmp_path: Path
) -> None:
    store.place.put("encoders/rsame/card.json", b"{}")
    other = Store(tmp_path / "other")
    assert belongings(other.artefacts, "rsame") == Belongings(None, None, None, None)
    assert belongings(store.artefacts, "rsame").weights is not None
