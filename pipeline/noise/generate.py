"""From a specification to a label table: one generator per kind of noise."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from functools import singledispatch
from typing import Any

import numpy as np

from pipeline.data.dataset import Dataset, load_dataset
from pipeline.data.matrix import read_matrix
from pipeline.errors import LabError, quoted
from pipeline.noise import alignment
from pipeline.noise import noise_spec as kinds
from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.detect import check_stated, detect
from pipeline.noise.file_labels import Target, read_labels
from pipeline.noise.label_table import LabelTable, sealed
from pipeline.noise.made_from import noise_facts
from pipeline.noise.models import from_posterior as posterior
from pipeline.noise.models import instance, open_set
from pipeline.noise.models.class_conditional import ConditionalSpec, flipped
from pipeline.noise.models.drawn import Drawn
from pipeline.noise.noise_card import NoiseCard, confusion, realised
from pipeline.noise.published.streams import instance_legacy
from pipeline.noise.suspects import mended, read_suspects
from pipeline.storage.fetched import local_file


def make(dataset: Dataset, name: str, spec: kinds.NoiseSpec) -> LabelTable:
    """Make the label table that a specification describes; a pure function of its arguments.

    Args:
        dataset: the data set; without clean labels it admits only the kinds `clean` (its labels as
            given), `file` and `cleaned`.
        name: name of the table.
        spec: kind and parameters.

    Returns:
        The table with its card, which says what it was made from.

    Raises:
        LabError: if the specification does not fit the data set, or a file it names is missing,
            damaged or belongs to other images.
    """
    drawn = _first(generate(spec, dataset), spec)
    index, clean = drawn.positions, dataset.train_clean_labels
    own = None if clean is None else np.asarray(clean[index])
    found = None
    if own is not None:
        found = realised(confusion(own, drawn.noisy, dataset.card.n_classes))
    table = LabelTable(
        index=index,
        y_clean=own,
        y_noisy=drawn.noisy,
        openset=drawn.openset,
        card=NoiseCard(
            dataset=dataset.card.name,
            name=name,
            generator=spec.kind,
            version=spec.version,
            convention=drawn.convention,
            nominal_rate=drawn.nominal_rate,
            seed=drawn.seed,
            realised_rate=None if found is None else found.rate,
            per_class_rates=None if found is None else found.per_class,
            transition=None if found is None else found.transition,
            n=len(index),
            n_classes=dataset.card.n_classes,
            data_digest=dataset.card.digest,
            labels_digest="",
            details=drawn.details | {"made_from": noise_facts(spec, dataset.card)},
        ),
    )
    return sealed(table)


def _first(drawn: Drawn, spec: kinds.NoiseSpec) -> Drawn:
    """The labels of the first images, where the specification keeps these only."""
    if spec.first is None:
        return drawn
    if drawn.openset is not None:
        raise LabError(
            "first with open-set noise",
            "all images, some of which are replaced",
            "leave `first` out",
        )
    kept = drawn.positions < spec.first
    return replace(drawn, noisy=drawn.noisy[kept], index=drawn.positions[kept])


@singledispatch
def generate(spec: kinds.NoiseSpec, dataset: Dataset) -> Drawn:
    """Noisy labels of a data set; the kinds `clean`, `file` and `cleaned` need no clean labels.

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
        0.0 if known else None,
    )


@generate.register(kinds.Symmetric)
@generate.register(kinds.SymmetricInclusive)
@generate.register(kinds.Pair)
@generate.register(kinds.Asymmetric)
@generate.register(kinds.Matrix)
def _class_conditional(spec: ConditionalSpec, dataset: Dataset) -> Drawn:
    return flipped(spec, _clean_labels(dataset), dataset.card.n_classes)


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
        spec.rate,
        spec.seed,
        {"rng": spec.rng, "projected": "pixels" if spec.features is None else "features"},
    )


@generate.register
def _dependent(spec: kinds.Dependent, dataset: Dataset) -> Drawn:
    clean = _clean_labels(dataset)
    average = _posterior(spec.posterior, dataset)
    noisy = posterior.dependent(clean[: len(average)], average, spec.rate)
    return Drawn(noisy, "dependent", spec.rate)


@generate.register
def _pmd(spec: kinds.Pmd, dataset: Dataset) -> Drawn:
    eta = _posterior(spec.posterior, dataset)
    clean = _clean_labels(dataset)[: len(eta)]
    drawn = Drawn(clean.copy(), f"pmd/{spec.type}", spec.rate, spec.seed)
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
            f"images of {quoted(spec.source)} have shape {other.image_shape}",
            f"shape {dataset.card.image_shape}, as in {quoted(dataset.card.name)}",
            "choose another `source`",
        )
    clean = _clean_labels(dataset)
    index, source_index = open_set.replace(
        len(clean), other.n_train, spec.rate, spec.seed, spec.rng == "legacy"
    )
    return Drawn(
        clean.copy(),
        "open-set",
        spec.rate,
        spec.seed,
        {
            "source": spec.source,
            "source_digest": other.digest,
            "rng": spec.rng,
            "openset_rate": len(index) / len(clean),
        },
        open_set.Replacement(spec.source, other.digest, index, source_index),
    )


@generate.register
def _file(spec: kinds.File, dataset: Dataset) -> Drawn:
    path = local_file(spec.path)
    read = read_labels(path, spec.column, Target.of(dataset))
    clean, card = dataset.train_clean_labels, dataset.card
    index = None if read.joined == "order" else read.index
    order = alignment.check_labels(
        np.asarray(dataset.train_labels if clean is None else clean),
        read.noisy,
        card.n_classes,
        alignment.Rows(
            path.name, read.joined, spec.order == "trusted", read.place, card.class_names
        ),
        index,
    )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    details: dict[str, Any] = {"file": path.name, "sha256": sha256, "order": order}
    if n_without := card.n_train - len(read.index):
        details["without a label"] = f"{n_without} of {card.n_train} images, not trained on"
    if read.left_out:
        details["left out"] = f"{read.left_out} rows about other images"
    convention = spec.convention or "given"
    if clean is not None:
        own = np.asarray(clean[read.index])
        found = detect(confusion(own, read.noisy, card.n_classes), spec.rate)
        check_stated(spec.convention, found, path.name)
        convention = spec.convention or found.conventions[0]
        details |= {"compatible": list(found.conventions), "evidence": found.evidence}
    return Drawn(read.noisy, convention, spec.rate, details=details, index=index)


@generate.register
def _cleaned(spec: kinds.Cleaned, dataset: Dataset) -> Drawn:
    found = read_suspects(local_file(spec.suspects), spec.suspects)
    if found.lineage.data_digest != dataset.card.digest:
        raise LabError(
            f"{quoted(spec.suspects)} ranks images with digest {found.lineage.data_digest}",
            f"those of {quoted(dataset.card.name)}, digest {dataset.card.digest}",
            "a ranking from runs on this data set",
        )
    if found.lineage.noise_kind == "openset":
        raise LabError(
            f"{quoted(spec.suspects)} ranks open-set labels, which replace images",
            "labels of the images of the data set itself",
            "a ranking of another label table",
        )
    outside = (found.given < 0) | (found.given >= dataset.card.n_classes)
    outside |= (found.index < 0) | (found.index >= dataset.card.n_train)
    outside |= found.suggested >= dataset.card.n_classes
    if outside.any():
        raise LabError(
            f"{quoted(spec.suspects)} holds positions or labels that {quoted(dataset.card.name)} "
            "has not",
            f"positions below {dataset.card.n_train}, labels below {dataset.card.n_classes}",
            "a ranking as it was written",
        )
    done = mended(found, spec.rate, spec.repair, spec.suspects)
    flagged = {"flagged": done.n_flagged, "flag rate": done.rate, "flag rule": done.rule}
    lineage = {"lineage": asdict(found.lineage)}
    return Drawn(
        done.labels, f"cleaned/{spec.repair}", None, details=flagged | lineage, index=done.index
    )


@generate.register
def _hybrid(spec: kinds.Hybrid, dataset: Dataset) -> Drawn:
    base = generate(spec.base, dataset)
    top = flipped(spec.then, base.noisy, dataset.card.n_classes)
    rates = (base.nominal_rate, top.nominal_rate)
    nominal = None if None in rates else 1.0 - float(np.prod([1.0 - r for r in rates if r]))
    return Drawn(
        top.noisy,
        f"{base.convention} + {top.convention}",
        nominal,
        top.seed,
        {
            "base": {"nominal_rate": base.nominal_rate, "seed": base.seed, **base.details},
            "then": {"nominal_rate": top.nominal_rate, **top.details},
        },
        index=base.index,
    )


def _clean_labels(dataset: Dataset) -> Labels:
    clean = dataset.train_clean_labels
    if clean is None:
        raise LabError(
            f"data set {quoted(dataset.card.name)} has no clean labels",
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
