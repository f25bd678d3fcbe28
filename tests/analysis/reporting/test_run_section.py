"""What the page needs to set two runs side by side is what differs, and their curves."""

from __future__ import annotations

from pathlib import Path

from analysis.labels import row_labels
from analysis.reporting.run_section import run_section
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.results_builder import add_run


def test_runs_have_figures_and_what_differs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = add_run(store, (0.5, 0.25), curves={"memorised": [0.1, None]})
    second = add_run(store, (0.75,), variant="dal", seed=1, backbone="resnet34")
    failed = add_run(store, (), seed=2, status="diverged")
    runs = store.runs().collect()
    section = run_section(
        runs.join(row_labels(runs), on="group"),
        Results(store.runs(), store.epochs()),
        {"ce": 0, "dal": 1},
    )
    assert [(row["key"], row["label"], row["m"]) for row in section.rows] == [
        (first, "ce", 0), (failed, "ce", 0), (second, "dal", 1),
    ]  # fmt: skip
    assert section.protocols == ("last", "last10", "oracle")
    assert section.rows[0]["figures"] == {"last": 0.25, "last10": 0.375, "oracle": 0.5}
    assert section.rows[1]["figures"] == {}
    facts = {name: [texts[number] for number in of]
             for name, (texts, of) in section.beside["facts"].items()}  # fmt: skip
    assert facts == {
        "backbone": ["small-cnn", "small-cnn", "resnet34"],
        "loss": ["ce", "ce", "dal"],
        "seed": ["0", "2", "1"],
        "status": ["done", "diverged", "done"],
        "variant": ["ce", "ce", "dal"],
    }
    curves = section.beside["curves"]
    epochs, of = curves["epoch"]
    assert [list(epochs[number]) for number in of] == [[0, 1], [], [0]]
    assert curves["test_accuracy"] == [[500, 250], [], [750]]
    assert curves["memorised"] == [[100, None], [], [None]]
