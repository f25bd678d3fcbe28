"""The commands: python -m pipeline.noise and analysis/noise_report.py."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from analysis import noise_report
from pipeline.errors import LabError
from pipeline.files import labels_folder
from pipeline.noise import __main__ as program
from pipeline.noise.generate import make
from pipeline.noise.label_table import load_table, save_table
from pipeline.noise.made_from import noise_facts
from pipeline.noise.models import transitions
from pipeline.noise.noise_spec import parse
from tests.support.lab import write_params
from tests.support.noise_cases import lay_out, small_dataset, softmax_rows

DATASET = small_dataset(n=2000)
TABLES: dict[str, dict[str, Any]] = {
    "clean": {"kind": "clean"},
    "sym40": {"kind": "symmetric", "rate": 0.4},
    "dep40": {"kind": "dependent", "rate": 0.4, "posterior": "average.npy"},
}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a prepared data set and three tables."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    lay_out(DATASET)
    np.save(tmp_path / "average.npy", softmax_rows(DATASET.train_labels, 10))
    for name, values in TABLES.items():
        save_table(make(DATASET, name, parse(values, name)), labels_folder("small", name))
    return tmp_path


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["noise", *map(str, arguments)])
    program.main()


def test_list_shows_every_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, "list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["small", "clean", "clean"],
        ["small", "dep40", "dependent"],
        ["small", "sym40", "symmetric"],
    ]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_show_prints_the_card_and_draws_it(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: str,
) -> None:
    figure = root / f"card.{ending}"
    _run(monkeypatch, "show", "sym40", "--figure", figure)
    shown = capsys.readouterr().out
    assert "convention     symmetric" in shown
    assert "T[clean, noisy]:" in shown
    first = figure.read_bytes()
    _run(monkeypatch, "show", "sym40", "--figure", figure)
    assert len(first) > 1000
    assert figure.read_bytes() == first


def test_show_names_the_nearest_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, "show", "sym41")
    assert stop.value.code == 2
    assert "try: sym40" in capsys.readouterr().err


def test_import_writes_a_table_that_loads(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = transitions.draw(DATASET.train_labels, transitions.symmetric(0.2, 10), 5)
    np.save(root / "published.npy", noisy)
    _run(monkeypatch, "import", root / "published.npy", "small", "new", "--rate", "0.2")
    assert "written" in capsys.readouterr().out
    assert (load_table("small", "new").y_noisy == noisy).all()


def test_an_imported_table_says_what_it_was_made_from_and_refuses_taken_names(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From another folder, by a path relative to it; the card holds where the file really lies."""
    (root / "sub").mkdir()
    noisy = transitions.draw(DATASET.train_labels, transitions.symmetric(0.2, 10), 5)
    (root / "sub" / "noisy.json").write_text(json.dumps(noisy.tolist()))
    monkeypatch.chdir(root / "sub")
    words = ("import", "noisy.json", "small")
    write_params(root, {"noise": {"sym40": {"kind": "symmetric", "rate": 0.4}}})
    _run(monkeypatch, *words, "mine")
    facts = load_table("small", "mine").card.details["made_from"]
    spec = parse(facts["spec"], "card")
    assert facts == noise_facts(spec, DATASET.card)
    assert spec.path == str(root / "sub" / "noisy.json")
    for taken in ("sym40", "clean"):
        before = load_table("small", taken).card
        with pytest.raises(SystemExit):
            _run(monkeypatch, *words, taken)
        assert f"try: {taken}-imported" in capsys.readouterr().err
        assert load_table("small", taken).card == before
    write_params(root, {"noise": {"mine": {"kind": "file", "path": "sub/noisy.json"}}})
    _run(monkeypatch, *words, "mine")


def test_home_is_expanded_in_every_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    np.save(root / "labels.npy", DATASET.train_labels)
    np.save(root / "features.npy", np.eye(10, dtype=np.float32)[DATASET.train_labels])
    _run(monkeypatch, "import", "~/labels.npy", "small", "new")
    _run(monkeypatch, "show", "new", "--figure", "~/figures/card.png")
    assert (root / "figures" / "card.png").stat().st_size > 1000
    flags = ("--features", "~/features.npy", "--steps", 20, "--out", "~/new/estimate.json")
    _run(monkeypatch, "estimate", "small", "sym40", *flags)
    assert (root / "new" / "estimate.json").is_file()
    noise_report.compare_tables("small", ("sym40", "dep40"), Path("~/average.npy"))


@pytest.mark.parametrize("name", ["../../precious", ".", "", "sym;touch X", "sym 40"])
def test_a_name_that_no_folder_can_have_is_refused_by_every_command(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    np.save(root / "labels.npy", DATASET.train_labels)
    for words in (
        ("import", root / "labels.npy", "small", name),
        ("import", root / "labels.npy", name, "new"),
        ("show", name),
        ("show", "sym40", "--dataset", name),
        ("estimate", "small", name),
        ("estimate", name, "sym40"),
    ):
        with pytest.raises(SystemExit):
            _run(monkeypatch, *words)
        error = capsys.readouterr().err
        assert f"name {name!r}" in error
        assert error.count("\n") == 1
    assert {p.name for p in root.iterdir()} == {"data", "labels", "average.npy", "labels.npy"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "sym40", "--figure", "card.gif"), "ending in .png"),
        (("show", "sym40", "--figure", "sub/card"), "ending in .png"),
        (("estimate", "small", "sym40", "--sample", "-5"), "sample = -5"),
        (("estimate", "small", "sym40", "--rounds", "0"), "rounds = 0"),
        (("estimate", "small", "sym40", "--seed", "-1"), "seed = -1"),
        (("estimate", "small", "sym40", "--steps", "1000000000000"), "steps = 10000"),
        (("estimate", "small", "sym40", "--features", "labels.txt"), "ends in '.txt'"),
        (("estimate", "small", "sym40", "--features", "."), "ends in ''"),
        (("import", "absent.npy", "small", "new"), "is missing"),
        (("import", ".", "small", "new"), "ends in nothing"),
        (("import", "average.npy", "small", "new"), "no vector of labels"),
        (("import", "labels.txt", "small", "new", "--column", "x" * 4000), "has no column"),
        (("verify", "absent"), "no label files"),
        (("verify", ".", "--posterior", "labels.txt"), "ends in '.txt'|no clean CIFAR"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_one_short_line(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(root)
    (root / "labels.txt").write_text("1\n2\n")
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, *words)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert "; try: " in error
    assert len(error) < 650


@pytest.mark.parametrize(
    "words",
    [("import", "--column", "x"), ("show",), ("estimate", "small", "--sample"), ("verify",)],
)
def test_missing_words_are_answered_by_the_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, *words)
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_features_and_posteriors_of_other_formats(
    root: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Several tables in one file are named, one is taken."""
    average = np.load(root / "average.npy")
    path = root / f"average.{ending}"

    def write(**tables: Any) -> None:
        if ending == "npz":
            np.savez(path, **tables)
        else:
            torch.save({name: torch.from_numpy(table) for name, table in tables.items()}, path)

    write(anything=average)
    values = TABLES["dep40"] | {"posterior": path.name}
    made = make(DATASET, "again", parse(values, "again"))
    assert made.card.labels_digest == load_table("small", "dep40").card.labels_digest
    spec = parse({"kind": "instance", "rate": 0.2, "features": path.name}, "instance")
    assert make(DATASET, "instance", spec).card.n == 2000
    _run(monkeypatch, "estimate", "small", "sym40", "--features", path, "--steps", "5")
    if ending == "npz":
        noise_report.compare_tables("small", ("sym40",), path)
    write(first=average, second=average)
    with pytest.raises(LabError, match="holds 2 tables .first, second."):
        make(DATASET, "again", parse(values, "again"))
    with pytest.raises(LabError, match="cannot be read"):
        noise_report.compare_tables("small", ("sym40",), path)


def test_marks_in_class_names_are_drawn_as_they_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("$x_{$", "$\\foo$", "<script>", "[/b]", "a" * 300, *"fghij")
    lay_out(small_dataset(name="marked", class_names=names))
    write_params(root, {})
    np.save(root / "labels.npy", small_dataset().train_labels)
    _run(monkeypatch, "import", root / "labels.npy", "marked", "given")
    _run(monkeypatch, "show", "given", "--dataset", "marked", "--figure", root / "card.svg")
    assert "<!-- &lt;script&gt; -->" in (root / "card.svg").read_text()


def test_list_goes_on_after_a_damaged_table(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (labels_folder("small", "dep40") / "card.json").write_text("{}")
    _run(monkeypatch, "list")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "not usable" in lines[1]


def test_a_refused_import_writes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(root / "published.npy", np.roll(DATASET.train_labels, 1))
    with pytest.raises(SystemExit):
        _run(monkeypatch, "import", root / "published.npy", "small", "new")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "too late" in error
    assert not labels_folder("small", "new").exists()


def test_verify_exits_with_1_if_a_file_differs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.noise.published import verify
    from pipeline.noise.published.inventory import Finding

    outcome = [Finding("a", "ok", "same"), Finding("b", "differs", "not the same")]
    monkeypatch.setattr(verify, "verify", lambda *_: outcome)
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, "verify", root)
    assert stop.value.code == 1
    assert "2 checks: 1 ok, 1 differs" in capsys.readouterr().out


def test_report_finds_the_table_that_follows_the_posterior(root: Path) -> None:
    """The permutation p-value of the independent table is below 0.01 in 1 % of seeds."""
    scores = np.load(root / "average.npy")
    dependent, symmetric = (noise_report.read_labels("small", name) for name in ("dep40", "sym40"))
    strong, weak = (noise_report.dependence(t, scores, 99) for t in (dependent, symmetric))
    assert strong["auc"] > 0.99
    assert strong["best_wrong"] == 1.0
    assert strong["p"] == 0.01
    assert abs(weak["auc"] - 0.5) < 4.5 * np.sqrt(1 / (12 * 480))
    assert weak["p"] > 0.01


def test_report_reads_dependence_from_pixels() -> None:
    """Brightness tells the class of these images, so labels that follow it depend on them."""
    scores = noise_report.linear_scores(DATASET.train_images, DATASET.train_labels, 10)
    assert (scores.argmax(axis=1) == DATASET.train_labels).mean() > 0.15
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-2)


def test_report_places_tables_with_gaps_on_their_images(root: Path) -> None:
    rows = np.sort(np.random.default_rng(0).choice(2000, 900, replace=False))
    whole = load_table("small", "dep40")
    frame = pl.DataFrame({"index": rows, "noisy": whole.y_noisy[rows]})
    frame.write_parquet(root / "part.parquet")
    spec = parse({"kind": "file", "path": "part.parquet"}, "part")
    save_table(make(DATASET, "part", spec), labels_folder("small", "part"))
    both = [noise_report.read_labels("small", name) for name in ("dep40", "part")]
    pair = noise_report.compare(*both)
    assert (pair["n"], pair["agreement"], pair["overlap"]) == (900, 1.0, 1.0)
    scores = np.load(root / "average.npy")
    assert noise_report.dependence(both[1], scores, 99)["best_wrong"] == 1.0
    noise_report.compare_tables("small", ("dep40", "part"))


def test_report_refuses_a_damaged_table_in_one_line() -> None:
    path = labels_folder("small", "sym40") / "labels.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    with pytest.raises(LabError, match="is damaged"):
        noise_report.read_labels("small", "sym40")


def test_report_compares_pairs() -> None:
    clean, symmetric, dependent = (
        noise_report.read_labels("small", n) for n in ("clean", "sym40", "dep40")
    )
    itself = noise_report.compare(symmetric, symmetric)
    assert itself["agreement"] == itself["overlap"] == itself["same_target"] == 1.0
    assert noise_report.compare(clean, symmetric)["overlap"] == 0.0
    pair = noise_report.compare(dependent, symmetric)
    # 2000 samples: the Jaccard index of independent flips has a standard deviation below 0.02.
    assert abs(pair["overlap"] - pair["by_chance"]) < 4.5 * 0.02


def test_report_prints_three_tables(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noise_report.compare_tables("small", ("clean", "sym40"))
    noise_report.compare_tables("small", ("sym40", "dep40"), root / "average.npy")
    printed = capsys.readouterr().out
    assert printed.count("Dependence on the images") == 2
    assert "sym40 / dep40" in printed


def test_report_needs_tables_that_exist() -> None:
    with pytest.raises(
        LabError, match=r"try: sym40 or uv run python -m pipeline\.stages\.noise small sym41"
    ):
        noise_report.read_labels("small", "sym41")
