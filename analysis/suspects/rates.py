"""The share of wrong labels, estimated without the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from analysis.suspects.evidence import Evidence
from pipeline.errors import LabError, quoted


class Estimated(NamedTuple):
    """An estimate and what made it."""

    rate: float
    by: str
    """confident: cleanlab's count of label issues; hoc: an estimate of the transition matrix."""


class _Hoc(BaseModel):
    """What is read of a file that `pipeline.noise estimate --out` wrote."""

    model_config = ConfigDict(frozen=True)

    labels_digest: str
    T: tuple[tuple[float, ...], ...]
    prior: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Share of wrong labels: 1 - sum_i P(clean = i) T[i, i]."""
        return 1.0 - sum(
            p * row[i] for i, (p, row) in enumerate(zip(self.prior, self.T, strict=True))
        )


def read_hoc(files: Sequence[Path]) -> dict[str, float]:
    """Rates of estimated transition matrices.

    Args:
        files: JSON files that `pipeline.noise estimate --out` wrote.

    Returns:
        Rates by digest of the label table that each was estimated from.

    Raises:
        LabError: for a file that is missing or something else.
    """
    rates = {}
    for file in files:
        try:
            found = _Hoc.model_validate_json(file.expanduser().read_bytes())
            rates[found.labels_digest] = found.rate
        except (OSError, ValueError, IndexError) as error:
            raise LabError(
                f"{quoted(str(file))} is no estimate of a transition matrix",
                "a JSON file of HOC",
                "uv run python -m pipeline.noise estimate DATASET NOISE --out FILE",
            ) from error
    return rates


def confident_rate(evidence: Evidence) -> float | None:
    """Share of label issues that cleanlab counts by confident learning (arXiv 1911.00068).

    Its count is calibrated to the numbers of given labels, as its documentation advises for scores
    of one's own.

    Args:
        evidence: of a run.

    Returns:
        In [0, 1], of the samples that the run has seen; None for a run that stored no averaged
        probabilities, or saw one class only.
    """
    if evidence.lacking(["mean_probabilities"]):
        return None
    from cleanlab.count import num_label_issues

    probabilities = evidence.probabilities
    known = np.isfinite(probabilities).all(axis=1)
    if len(np.unique(evidence.given[known])) < 2:
        return None
    issues = num_label_issues(
        evidence.given[known], probabilities[known], estimation_method="off_diagonal_calibrated"
    )
    return int(issues) / int(known.sum())
