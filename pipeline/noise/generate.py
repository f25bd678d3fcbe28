"""Which generator makes which kind of noise: one function per kind of specification."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np

from pipeline.data.dataset import Dataset, load_dataset
from pipeline.data.matrix import read_matrix
from pipeline.errors import LabError
from pipeline.noise import alignment, instance, open_set, readers, transitions
from pipeline.noise import from_posterior as posterior
from pipeline.noise import noise_spec as kinds
from pipeline.noise.arrays import Floats, Labels, project_path
from pipeline.noise.class_maps import custom_map, named_map
from pipeline.noise.detect import check_stated, detect
from pipeline.noise.noise_card import confusion
from pipeline.noise.published.streams import instance_legacy

IMPORT_VERSION = 1
"""Raised when the same file would be read as other labels."""

ConditionalSpec = (
    kinds.Symmetric | kinds.SymmetricInclusive | kinds.Pair | kinds.Asymmetric | kinds.Matrix
)


@dataclass(frozen=True)
class Drawn:
    """What a generator hands back.

    Args:
        noisy: int64 [n], labels of the first n training samples.
        convention: name of what the rate and the targets mean.
        version: of the generator.
        nominal_rate: rate as asked for or published, None if there is none.
        seed: None where nothing was drawn.
        details: what else belongs on the card.
        openset: replaced images, or None.
    """

    noisy: Labels
    convention: str
    version: int
    nominal_rate: float | None
    seed: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    openset: open_set.Replacement | None = None


@singledispatch
def generate(spec: kinds.NoiseSpec, dataset: Dataset) -> Drawn:
    """Noisy labels of a data set; clean labels are known unless the kind is `clean` or `file`.

    Args:
        spec: kind and parameters.
        dataset: the data set.

    Returns:
        The labels and what belongs on their card.

    Raises:
        LabError: if the specification does not fit the data set or a file it names does not.
        TypeError: for a specification of no known kind.
    """
    raise TypeError(f"no generator for {type(spec).__name__}; {dataset.card.name} stays as it is")


@generate.register
def _clean(_spec: kinds.Clean, dataset: Dataset) -> Drawn:
    known = dataset.card.labels == "clean"
    return Drawn(
        np.array(dataset.train_labels),
        "clean" if known else "given",
        transitions.VERSION,
        0.0 if known else None,
    )


@generate.register(kinds.Symmetric)
@generate.register(kinds.SymmetricInclusive)
@generate.register(kinds.Pair)
@generate.register(kinds.Asymmetric)
@generate.register(kinds.Matrix)
def _class_conditional(spec: ConditionalSpec, dataset: Dataset) -> Drawn:
    return _flip(spec, _clean_labels(dataset), dataset.card.n_classes)


@generate.register
def _instance(spec: kinds.Instance, dataset: Dataset) -> Drawn:
    clean, n_classes = _clean_labels(dataset), dataset.card.n_classes
    x: Any = dataset.train_images
    if spec.features is not None:
        x = read_matrix(spec.features, "features, one row per training image")
        alignment.check_features(clean, x, n_classes, spec.features)
    projector = instance.Projector(x, instance.VARIANTS[spec.variant])
    generator = instance_legacy if spec.rng == "legacy" else instance.generate
    noisy = generator(clean, projector, n_classes, spec.rate, spec.seed)
    return Drawn(
        noisy,
        f"instance/{spec.variant}",
        instance.VERSION,
        spec.rate,
        spec.seed,
        {"rng": spec.rng, "projected": "pixels" if spec.features is None else "features"},
    )


@generate.register
def _dependent(spec: kinds.Dependent, dataset: Dataset) -> Drawn:
    clean = _clean_labels(dataset)
    average = _posterior(spec.posterior, dataset)
    noisy = posterior.dependent(clean[: len(average)], average, spec.rate)
    return Drawn(noisy, "dependent", posterior.VERSION, spec.rate)


@generate.register
def _pmd(spec: kinds.Pmd, dataset: Dataset) -> Drawn:
    eta = _posterior(spec.posterior, dataset)
    clean = _clean_labels(dataset)[: len(eta)]
    drawn = Drawn(clean.copy(), f"pmd/{spec.type}", posterior.VERSION, spec.rate, spec.seed)
    if spec.rate == 0:
        return drawn
    m = posterior.margins(eta, spec.type)
    factor = spec.factor or posterior.calibrate(clean, m, spec.rate)
    source = (
        np.random.RandomState(spec.seed)
        if spec.rng == "legacy"
        else np.random.Generator(np.random.PCG64(spec.seed))
    )
    return replace(
        drawn, noisy=posterior.pmd(m, factor, source), details={"factor": factor, "rng": spec.rng}
    )


@generate.register
def _openset(spec: kinds.OpenSet, dataset: Dataset) -> Drawn:
    other = load_dataset(spec.source).card
    if other.image_shape != dataset.card.image_shape:
        raise LabError(
            f"images of {spec.source!r} have shape {other.image_shape}",
            f"shape {dataset.card.image_shape}, as in {dataset.card.name!r}",
            "choose another `source`",
        )
    clean = _clean_labels(dataset)
    index, source_index = open_set.replace(
        len(clean), other.n_train, spec.rate, spec.seed, spec.rng == "legacy"
    )
    return Drawn(
        clean.copy(),
        "open-set",
        open_set.VERSION,
        spec.rate,
        spec.seed,
        {
            "source": spec.source,
            "source_digest": other.digest,
            "rng": spec.rng,
            "openset_rate": len(index) / len(clean),
        },
        open_set.Replacement(spec.source, index, source_index),
    )


@generate.register
def _file(spec: kinds.File, dataset: Dataset) -> Drawn:
    path = project_path(spec.path)
    noisy = readers.read_labels(path, spec.column)
    clean, n_classes = dataset.train_clean_labels, dataset.card.n_classes
    reference = dataset.train_labels if clean is None else clean
    alignment.check_labels(np.asarray(reference), noisy, n_classes, path.name)
    convention = spec.convention or "given"
    details: dict[str, Any] = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    if clean is not None:
        found = detect(confusion(np.asarray(clean[: len(noisy)]), noisy, n_classes), spec.rate)
        check_stated(spec.convention, found, path.name)
        convention = spec.convention or found.conventions[0]
        details |= {"compatible": list(found.conventions), "evidence": found.evidence}
    return Drawn(noisy, convention, IMPORT_VERSION, spec.rate, details=details)


@generate.register
def _hybrid(spec: kinds.Hybrid, dataset: Dataset) -> Drawn:
    base = generate(spec.base, dataset)
    top = _flip(spec.then, base.noisy, dataset.card.n_classes)
    rates = (base.nominal_rate, top.nominal_rate)
    nominal = None if None in rates else 1.0 - float(np.prod([1.0 - r for r in rates if r]))
    return Drawn(
        # The sum rises whenever the version of either part does.
        top.noisy,
        f"{base.convention} + {top.convention}",
        base.version + top.version,
        nominal,
        top.seed,
        {
            "base": {"nominal_rate": base.nominal_rate, "seed": base.seed, **base.details},
            "then": {"nominal_rate": top.nominal_rate, **top.details},
        },
    )


def _flip(spec: ConditionalSpec, labels: Labels, n_classes: int) -> Drawn:
    """Class-conditional noise on any labels, clean or noisy already."""
    matrix, convention = _matrix(spec, n_classes)
    draw = transitions.draw_legacy if spec.rng == "legacy" else transitions.draw
    if isinstance(spec, kinds.Matrix):
        nominal = float(1.0 - np.diag(matrix)[labels].mean())
    else:
        nominal = spec.rate
    return Drawn(
        draw(labels, matrix, spec.seed),
        convention,
        transitions.VERSION,
        nominal,
        spec.seed,
        {"rng": spec.rng},
    )


def _matrix(spec: ConditionalSpec, n_classes: int) -> tuple[Floats, str]:
    if isinstance(spec, kinds.Matrix):
        if len(spec.matrix) != n_classes:
            raise LabError(
                f"a matrix of {len(spec.matrix)} classes",
                f"one of {n_classes}, as the data set has",
                "mend `matrix`",
            )
        return np.array(spec.matrix), "matrix"
    if isinstance(spec, kinds.Symmetric):
        return transitions.symmetric(spec.rate, n_classes), "symmetric"
    if isinstance(spec, kinds.SymmetricInclusive):
        return transitions.symmetric_inclusive(spec.rate, n_classes), "symmetric-inclusive"
    if isinstance(spec, kinds.Pair):
        target = named_map("next_class", n_classes)
        return transitions.along_map(spec.rate, target), "pair"
    named = isinstance(spec.map, str)
    target = (
        named_map(spec.map, n_classes)
        if isinstance(spec.map, str)
        else custom_map(spec.map, n_classes)
    )
    return (
        transitions.along_map(spec.rate, target),
        f"asymmetric/{spec.map if named else 'own map'}",
    )


def _clean_labels(dataset: Dataset) -> Labels:
    clean = dataset.train_clean_labels
    if clean is None:
        raise LabError(
            f"data set {dataset.card.name!r} has no clean labels",
            "noise of kind clean (its labels as given) or file",
            "choose a data set with clean labels",
        )
    return np.asarray(clean)


def _posterior(path: str, dataset: Dataset) -> Floats:
    n_classes = dataset.card.n_classes
    eta = read_matrix(
        path, f"softmax outputs [n, {n_classes}] of a network trained on clean labels", n_classes
    )
    alignment.check_posterior(_clean_labels(dataset), eta, n_classes, path)
    return eta
