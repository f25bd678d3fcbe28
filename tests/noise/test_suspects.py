"""Rankings as files, and the labels that are made from them."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.noise.generate import make
from pipeline.noise.label_table import LabelTable
from pipeline.noise.made_from import noise_facts
from pipeline.noise.noise_spec import parse
from pipeline.noise.suspects import mended, read_suspects, save_suspects
from tests.support.noise_cases import small_dataset
from tests.support.suspects import suspects_of

DATASET = small_dataset()
N, WRONG = 600, 120
FILE = "suspects.parquet"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a ranking of the data set."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    save_suspects(suspects_of(DATASET), tmp_path / FILE)
    return tmp_path


def _made(**values: Any) -> LabelTable:
    spec = {"kind": "cleaned", "suspects": FILE, "repair": "relabel"} | values
    return make(DATASET, "tried", parse(spec, "tried"))


def test_a_ranking_survives_its_file(root: Path) -> None:
    score = np.linspace(1, 0, N)
    score[-3:] = np.nan
    suggested = np.arange(N) % 10
    suggested[5] = -1
    saved = suspects_of(DATASET, score=score, suggested=suggested, details={"k": 10})
    for name in ("a", "b"):
        save_suspects(saved, root / name)
    assert (root / "a").read_bytes() == (root / "b").read_bytes()
    read = read_suspects(root / "a", "a")
    assert read.lineage == saved.lineage
    assert read.n_scored == N - 3
    for array in ("index", "given", "suggested", "score"):
        ours, theirs = getattr(read, array), getattr(saved, array)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_damaged_files_are_told_in_one_line(root: Path) -> None:
    content = (root / FILE).read_bytes()
    for number, damaged in enumerate((b"", content[:-9], content[: len(content) // 2], b"x" * 99)):
        (root / str(number)).write_bytes(damaged)
        with pytest.raises(LabError, match="holds no suspects"):
            read_suspects(root / str(number), "tried")
    with pytest.raises(LabError, match="no suspects at 'gone'"):
        read_suspects(root / "gone", "gone")
    save_suspects(suspects_of(DATASET, index=np.zeros(N, np.int64)), root / "twice")
    with pytest.raises(LabError, match="a sample twice"):
        read_suspects(root / "twice", "twice")


def test_relabelling_gives_the_suggested_labels_to_the_first() -> None:
    made = _made(rate=0.1)
    assert (made.index == np.arange(N)).all()
    ranking = suspects_of(DATASET)
    assert (made.y_noisy[:60] == DATASET.train_labels[:60]).all()
    assert (made.y_noisy[60:] == ranking.given[60:]).all()
    assert made.card.realised_rate == pytest.approx((WRONG - 60) / N)


def test_dropping_leaves_the_first_out() -> None:
    made = _made(repair="drop", rate=0.1)
    assert (made.index == np.arange(60, N)).all()
    assert (made.y_noisy == suspects_of(DATASET).given[60:]).all()
    assert made.card.n == N - 60
    assert made.card.realised_rate == pytest.approx((WRONG - 60) / (N - 60))


def test_the_estimated_rate_is_the_usual_one_and_the_card_says_so() -> None:
    made = _made()
    assert made.card.realised_rate == 0
    details = made.card.details
    assert (details["flagged"], details["flag rate"]) == (WRONG, 0.2)
    assert details["flag rule"] == "estimated (confident)"
    assert details["lineage"] == asdict(suspects_of(DATASET).lineage)
    assert (made.card.generator, made.card.convention) == ("cleaned", "cleaned/relabel")
    assert _made(rate=0.0).card.details["flag rule"] == "as asked for"


def test_positions_come_back_in_order() -> None:
    shuffled = np.random.default_rng(0).permutation(N)
    ranking = suspects_of(DATASET)
    mixed = replace(
        ranking,
        index=ranking.index[shuffled],
        given=ranking.given[shuffled],
        suggested=ranking.suggested[shuffled],
    )
    done = mended(mixed, 0.5, "drop", "tried")
    assert (done.index == np.sort(shuffled[300:])).all()
    assert (done.labels == ranking.given[done.index]).all()


@pytest.mark.parametrize(
    ("facts", "values", "message"),
    [
        ({"estimate": None, "estimated_rate": None}, {}, "estimates no share of wrong labels"),
        ({"score": np.full(N, np.nan)}, {}, "scores 0 of 600"),
        ({}, {"repair": "drop", "rate": 1.0}, "flags 600 labels"),
        ({"suggested": np.full(N, -1)}, {}, "suggests no label for 120 of 120"),
        ({"data_digest": "1" * 16}, {}, "ranks images with digest 1111"),
        ({"noise_kind": "openset"}, {}, "open-set labels"),
        ({"index": np.arange(1, N + 1)}, {}, "holds positions or labels that 'small' has not"),
        ({"given": np.full(N, 10)}, {}, "holds positions or labels"),
        ({"suggested": np.full(N, 10)}, {}, "holds positions or labels"),
    ],
)
def test_what_cannot_be_mended_is_refused(
    root: Path, facts: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    save_suspects(suspects_of(DATASET, **facts), root / FILE)
    with pytest.raises(LabError, match=message):
        _made(**values)


def test_a_changed_ranking_makes_the_table_out_of_date(root: Path) -> None:
    spec = parse({"kind": "cleaned", "suspects": FILE, "repair": "drop"}, "tried")
    before = noise_facts(spec, DATASET.card)
    assert _made(repair="drop").card.details["made_from"] == before
    save_suspects(suspects_of(DATASET, estimated_rate=0.3), root / FILE)
    assert noise_facts(spec, DATASET.card) != before
    assert parse(before["spec"], "card") == spec


def test_data_without_true_labels_can_be_mended() -> None:
    made = make(
        small_dataset(given=True),
        "tried",
        parse({"kind": "cleaned", "suspects": FILE, "repair": "drop"}, "tried"),
    )
    assert made.y_clean is None
    assert made.card.n == N - WRONG
