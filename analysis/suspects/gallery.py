"""A page of pictures: the most suspect labels of every class, to be looked at."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.pages import data_uri, page
from analysis.suspects.detectors import DETECTORS
from analysis.suspects.ranking import Ranking
from pipeline.data.dataset import Dataset, load_dataset
from pipeline.data.images.thumbnails import thumbnail
from pipeline.errors import LabError, quoted
from pipeline.files import replacing
from pipeline.noise.suspects import NO_SUGGESTION
from pipeline.results.given import shown_noise


class Picture(NamedTuple):
    """One suspect label."""

    uri: str
    sample: int
    file: str
    """Path of the image below its root; empty where it has none."""
    rank: int
    suggested: str
    score: str
    true: str
    """Name of the true class; empty where nobody knows it."""
    verdict: str
    """wrong or right, for the given label; empty where nobody knows."""


class Section(NamedTuple):
    """One given class."""

    name: str
    n: int
    n_flagged: int
    pictures: list[Picture]


def write_gallery(ranking: Ranking, path: Path, top: int) -> int:
    """Write a page that needs no other file.

    Args:
        ranking: of all labels of a table, whose data set is prepared here.
        path: HTML file to make or to replace.
        top: pictures of a class at most.

    Returns:
        Number of pictures.

    Raises:
        LabError: if the data set is not there as it was, or an image cannot be decoded.
    """
    lineage = ranking.suspects.lineage
    dataset = load_dataset(lineage.dataset)
    if dataset.card.digest != lineage.data_digest:
        raise LabError(
            f"data set {quoted(lineage.dataset)} has digest {dataset.card.digest}",
            f"digest {lineage.data_digest}, as the runs learned from",
            "prepare it as it was",
        )
    sections = [
        _section(ranking, dataset, number, top) for number in range(len(ranking.class_names))
    ]
    shown = [section for section in sections if section.pictures]
    rate = None if ranking.wrong is None else float(ranking.wrong.mean())
    facts = {"noise": lineage.noise, "noise_kind": lineage.noise_kind, "realised_rate": rate}
    html = page(
        "suspects/gallery.html",
        sections=shown,
        lineage=asdict(lineage),
        labels=shown_noise(facts),
        meaning=DETECTORS[lineage.detector].meaning,
        n=len(ranking.suspects.index),
        n_flagged=ranking.n_flagged,
        top=top,
    )
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return sum(len(section.pictures) for section in shown)


def _section(ranking: Ranking, dataset: Dataset, number: int, top: int) -> Section:
    """The most suspect samples that are given one class."""
    suspects = ranking.suspects
    own = np.flatnonzero((suspects.given == number) & np.isfinite(suspects.score))
    return Section(
        ranking.class_names[number],
        int((suspects.given == number).sum()),
        int((own < ranking.n_flagged).sum()),
        [Picture(**_shown(ranking, dataset, place)) for place in own[:top].tolist()],
    )


def _shown(ranking: Ranking, dataset: Dataset, place: int) -> dict[str, Any]:
    suspects, names = ranking.suspects, ranking.class_names
    suggested, wrong = int(suspects.suggested[place]), ranking.wrong
    sample, files = int(suspects.index[place]), dataset.train_files
    return {
        "uri": data_uri(thumbnail(dataset.train, sample)),
        "sample": sample,
        "file": "" if files is None else files[sample],
        "rank": place + 1,
        "suggested": "–" if suggested == NO_SUGGESTION else names[suggested],
        "score": f"{suspects.score[place]:.3f}",
        "true": "" if ranking.true is None else names[ranking.true[place]],
        "verdict": "" if wrong is None else "wrong" if wrong[place] else "right",
    }
