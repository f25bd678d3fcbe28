"""From a specification to a label table with its card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.data.dataset import Dataset
from pipeline.errors import LabError
from pipeline.noise.generate import Drawn, generate
from pipeline.noise.label_table import LabelTable, noise_facts, sealed
from pipeline.noise.noise_card import NoiseCard, confusion, realised
from pipeline.noise.noise_spec import NoiseSpec


def make(dataset: Dataset, name: str, spec: NoiseSpec) -> LabelTable:
    """Make the label table that a specification describes; a pure function of its arguments.

    Args:
        dataset: the data set; without clean labels it admits only the kinds `clean` (its labels as
            given) and `file`.
        name: name of the table.
        spec: kind and parameters.

    Returns:
        The table with its card.

    Raises:
        LabError: if the specification does not fit the data set, or a file it names is missing,
            damaged or belongs to other images.
    """
    drawn = _first(generate(spec, dataset), spec)
    n, clean = len(drawn.noisy), dataset.train_clean_labels
    head = None if clean is None else np.asarray(clean[:n])
    found = None
    if head is not None:
        found = realised(confusion(head, drawn.noisy, dataset.card.n_classes))
    table = LabelTable(
        index=np.arange(n),
        y_clean=head,
        y_noisy=drawn.noisy,
        openset=drawn.openset,
        card=NoiseCard(
            dataset=dataset.card.name,
            name=name,
            generator=spec.kind,
            version=drawn.version,
            convention=drawn.convention,
            nominal_rate=drawn.nominal_rate,
            seed=drawn.seed,
            realised_rate=None if found is None else found.rate,
            per_class_rates=None if found is None else found.per_class,
            transition=None if found is None else found.transition,
            n=n,
            n_classes=dataset.card.n_classes,
            data_digest=dataset.card.digest,
            labels_digest="",
            details=drawn.details | {"made_from": noise_facts(spec, dataset.card)},
        ),
    )
    return sealed(table)


def _first(drawn: Drawn, spec: NoiseSpec) -> Drawn:
    """The labels of the first images, where the specification keeps these only."""
    if spec.first is None:
        return drawn
    if drawn.openset is not None:
        raise LabError("first with open-set noise", "all images, some of which are replaced")
    return replace(drawn, noisy=drawn.noisy[: spec.first])
