"""One ranking from several runs, and the page and the list that are made from it."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from analysis.suspects.gallery import write_gallery
from analysis.suspects.neighbours import Features
from analysis.suspects.ranking import Ranking, listed, rank
from analysis.suspects.scoring import runs_to_rank
from pipeline.errors import LabError
from pipeline.noise.label_table import LabelTable
from pipeline.results.store import Store
from pipeline.results.view import Results
from tests.support.suspects import DATASET, add_ranked_run, laid_out


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelTable:
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    return laid_out()


@pytest.fixture
def store(tmp_path: Path, table: LabelTable) -> Store:
    """Two seeds of one method: both hold out samples 0 to 9, one of them never saw 10 to 19."""
    store = Store(tmp_path / "store")
    for seed in (0, 1):
        unseen = range(10, 20 - 10 * seed)
        add_ranked_run(store, table, seed, held_out=range(10), unseen=unseen)
    return store


def ranking(store: Store, detector: str = "margin", features: Features | None = None) -> Ranking:
    runs = runs_to_rank(Results(store.runs(), store.epochs()), {})
    return rank(store, runs, detector, {}, features)


def test_scores_are_the_mean_of_the_runs_that_saw_a_sample(store: Store, table: LabelTable) -> None:
    found = ranking(store).suspects
    assert sorted(found.index) == list(range(300))
    assert (found.given == table.y_noisy[found.index]).all()
    assert np.isnan(found.score[-10:]).all()
    assert sorted(found.index[-10:]) == list(range(10))
    assert (np.diff(found.score[:-10]) <= 0).all()
    alone = {}
    for key in sorted(store.runs().collect()["key"]):
        samples = store.samples([key]).sort("index").collect()
        for row in samples.filter(pl.col("prediction") >= 0).iter_rows(named=True):
            p = np.array(row["mean_probabilities"], np.float64)
            own, p[row["y_noisy"]] = p[row["y_noisy"]], -1
            alone.setdefault(row["index"], []).append(p.max() - own)
    by_index = dict(zip(found.index.tolist(), found.score.tolist(), strict=True))
    for index, values in alone.items():
        assert len(values) == (1 if index < 20 else 2)
        assert by_index[index] == pytest.approx(np.mean(values), abs=1e-3)


def test_runs_that_know_better_suggest_the_true_labels(store: Store) -> None:
    found = ranking(store)
    assert found.true is not None
    assert found.wrong is not None
    first = slice(0, 60)
    assert found.wrong[first].mean() > 0.9
    # Softmax rows of sharpness 3 favour the true class of nine samples in ten.
    assert (found.suspects.suggested[first] == found.true[first]).mean() > 0.8
    lineage = found.suspects.lineage
    assert lineage.runs == tuple(sorted(store.runs().collect()["key"]))
    assert (lineage.dataset, lineage.noise, lineage.noise_kind) == ("small", "sym", "symmetric")
    assert (lineage.detector, lineage.estimate, lineage.details) == ("margin", "confident", {})
    assert lineage.estimated_rate == pytest.approx(0.3, abs=0.1)
    assert 0 < found.n_flagged <= 290


def test_a_list_has_names_and_nulls(store: Store) -> None:
    found = ranking(store)
    rows = listed(found)
    assert rows["rank"].to_list() == list(range(1, 301))
    assert rows["flagged"].sum() == found.n_flagged
    assert rows["score"].null_count() == 10
    assert rows["suggested"].null_count() == rows["suggested_name"].null_count() == 10
    named = rows.filter(pl.col("given") == 2)
    assert set(named["given_name"]) == {"class2"}
    assert (rows["given"] != rows["suggested"]).all()
    assert (rows["true"] == pl.Series(DATASET.train_labels[rows["index"].to_numpy()])).all()


def test_neighbours_are_noted_in_the_lineage(store: Store) -> None:
    features = Features(np.eye(3)[DATASET.train_labels] + 0.01, "file", 5)
    found = ranking(store, "encoder-knn", features)
    assert found.suspects.lineage.details == {"features": "file", "k": 5}
    assert found.wrong is not None
    assert found.wrong[:60].mean() > 0.9
    assert ranking(store, "margin", features).suspects.lineage.details == {}


def test_runs_that_differ_in_more_than_the_seed_are_refused(
    store: Store, table: LabelTable
) -> None:
    add_ranked_run(store, table, variant="gce")
    with pytest.raises(LabError, match="one ranking of 2 groups of runs: small sym ce, small sym"):
        ranking(store)


def test_runs_on_other_draws_of_the_labels_are_refused(store: Store, table: LabelTable) -> None:
    runs = runs_to_rank(Results(store.runs(), store.epochs()), {})
    redrawn = pl.Series(["other draw", runs["labels_digest"][1]])
    with pytest.raises(LabError, match="one ranking of 2 draws of the labels"):
        rank(store, runs.with_columns(labels_digest=redrawn), "margin", {})


def test_a_run_without_what_is_needed_is_refused(store: Store, table: LabelTable) -> None:
    key = add_ranked_run(store, table, seed=2, without=["mean_probabilities"])
    with pytest.raises(LabError, match=f"{key} stored no mean_probabilities"):
        ranking(store)
    assert ranking(store, "aum").suspects.n_scored == 300


def test_another_label_table_of_that_name_is_refused(store: Store) -> None:
    laid_out(kind="pair", rate=0.3)
    with pytest.raises(LabError, match="has digest .*; expected: digest .*, as the runs learned"):
        ranking(store)


class Page(HTMLParser):
    """Collects what a page refers to, its pictures, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.edges: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note references and the classes of figures."""
        self.references += [value or "" for name, value in attrs if name in {"src", "href"}]
        self.edges += [value or "" for name, value in attrs if tag == "figure" and name == "class"]

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


def test_the_gallery_holds_the_pictures_it_shows(store: Store, tmp_path: Path) -> None:
    found = ranking(store)
    path = tmp_path / "gallery.html"
    assert write_gallery(found, path, top=4) == 12
    first = path.read_bytes()
    write_gallery(found, path, top=4)
    assert path.read_bytes() == first
    page = Page()
    page.feed(first.decode())
    assert all(r.startswith(("data:image/png;base64,", "#class")) for r in page.references)
    pictures = [r.partition(",")[2] for r in page.references if r.startswith("data:")]
    shown = [
        int(found.suspects.index[place])
        for number in range(3)
        for place in np.flatnonzero(found.suspects.given == number)[:4]
    ]
    for content, index in zip(pictures, shown, strict=True):
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        assert (image == DATASET.train_images[index][..., 0]).all()
        assert f"sample {index}, true: class{DATASET.train_labels[index]}" in page.text
    assert set(page.edges) <= {"wrong", "right"}
    assert page.edges.count("wrong") > 8
    assert "Given as class1" in page.text


def test_the_gallery_refuses_other_images(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.support.noise_cases import lay_out, small_dataset

    found = ranking(store)
    lay_out(small_dataset(n=300, n_classes=3, pixels=2))
    with pytest.raises(LabError, match="as the runs learned from"):
        write_gallery(found, tmp_path / "gallery.html", top=4)
