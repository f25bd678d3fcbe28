"""What params.yaml says about a label table: one frozen model per kind of noise.

Rates are nominal: what they mean for the share of wrong labels differs between conventions and is
written at each kind. K is the number of classes, T[i, j] = P(noisy = j | clean = i).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, cast, get_args

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from pipeline.config import STRICT, validated_kind


def _no_truth_value(value: object) -> object:
    """YAML reads yes, no, on and off as truth values, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number, no truth value")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


def _from_json(value: object) -> object:
    """A class id; the keys of a map are text in JSON, so on a card."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 8:
        return int(value)
    return _no_truth_value(value)


Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_no_truth_value)]
Seed = Annotated[int, Field(ge=0, lt=2**32), BeforeValidator(_no_truth_value)]


def _are_class_ids(pairs: Mapping[object, object]) -> bool:
    both = (*map(_from_json, pairs), *map(_from_json, pairs.values()))
    return all(isinstance(c, int) and 0 <= c < 10**6 for c in both)


ClassId = Annotated[int, Field(ge=0, lt=10**6), BeforeValidator(_from_json)]
Word = Annotated[str, Field(min_length=1, max_length=4096)]
Stream = Literal["pcg64", "legacy"]
"""pcg64: NumPy's current generator, vectorised. legacy: the stream of the published files."""
MapName = Literal["cifar10", "superclass_next", "next_class", "block5"]
Repair = Literal["relabel", "drop"]
Variant = Literal["xia2020", "dal", "rrr", "cifarn"]


class _Spec(BaseModel):
    model_config = STRICT

    VERSION: ClassVar[int] = 1
    """Raised when the generator would give other labels for the same specification."""

    first: Annotated[int, BeforeValidator(_no_truth_value)] | None = Field(None, ge=1, le=10**9)
    """Keep the labels of this many images only, from the start; None for all."""

    @property
    def version(self) -> int:
        """Version of the generator."""
        return self.VERSION


class _Drawn(_Spec):
    rate: Rate
    """Nominal rate; 0 flips nothing, whatever the convention."""
    seed: Seed = 0
    """Seed of this table; the random streams of training runs are never used."""
    rng: Stream = "pcg64"
    """Random stream: today's, or that of the published files."""


class Clean(_Spec):
    """No noise: the noisy labels equal the given ones."""

    kind: Literal["clean"] = "clean"
    rate: Literal[0] = 0
    """None of the labels is flipped."""


class Symmetric(_Drawn):
    """Flip with probability `rate`, uniformly to the other classes: realised rate = rate."""

    kind: Literal["symmetric"] = "symmetric"


class SymmetricInclusive(_Drawn):
    """Replace with probability `rate` by any class, the own included: realised rate (K-1)/K."""

    kind: Literal["symmetric-inclusive"] = "symmetric-inclusive"


class Pair(_Drawn):
    """Flip with probability `rate` to the next class, i -> (i + 1) mod K: realised rate = rate."""

    kind: Literal["pair"] = "pair"


class Asymmetric(_Drawn):
    """Flip with probability `rate` along a map; classes that the map does not name keep theirs."""

    kind: Literal["asymmetric"] = "asymmetric"
    map: MapName | Annotated[dict[ClassId, ClassId], Field(max_length=10_000)]
    """A named map or your own {clean class: noisy class}."""

    @field_validator("map", mode="before")
    @classmethod
    def _name_or_pairs(cls, value: object) -> object:
        names = get_args(MapName)
        if value not in names and not (isinstance(value, dict) and _are_class_ids(value)):
            raise ValueError(f"neither one of {', '.join(names)} nor class ids such as {{3: 5}}")
        return value


class Matrix(_Spec):
    """Draw from a given transition matrix."""

    kind: Literal["matrix"] = "matrix"
    seed: Seed = 0
    """Seed of this table."""
    rng: Stream = "pcg64"
    """Random stream: today's, or that of the published files."""
    matrix: tuple[tuple[Rate, ...], ...] = Field(min_length=2, max_length=10_000)
    """[K][K], rows sum to one."""

    @field_validator("matrix")
    @classmethod
    def _stochastic(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        for i, row in enumerate(rows):
            if len(row) != len(rows):
                raise ValueError(
                    f"row {i} has {len(row)} entries; a {len(rows)}-row matrix needs {len(rows)}"
                )
            if not math.isclose(math.fsum(row), 1.0, abs_tol=1e-6):
                raise ValueError(f"row {i} sums to {math.fsum(row):.6g}; every row must sum to 1")
        return rows


class Instance(_Drawn):
    """Flip with a rate of the sample's own around `rate`; the target follows from its pixels."""

    kind: Literal["instance"] = "instance"
    variant: Variant = "xia2020"
    """Whose code it follows (docs/noise.md)."""
    features: Word | None = None
    """A .npy, .npz or .pt file [N, D] to project instead of the pixels; relative to the project."""


class Dependent(_Spec):
    """Flip exactly floor(rate N) samples, those that a trained network finds most confusable."""

    kind: Literal["dependent"] = "dependent"
    rate: Rate
    """Exact share of the labels that are flipped."""
    posterior: Word
    """A .npy, .npz or .pt file [N, K]: softmax outputs averaged over the epochs of a training on
    clean labels."""


class Pmd(_Drawn):
    """Move samples from the first to the second class of a posterior, by its margin."""

    kind: Literal["pmd"] = "pmd"
    type: Literal["I", "II", "III"]
    """Type of the law by which a sample keeps its first class: a polynomial of the margin."""
    posterior: Word
    """A .npy, .npz or .pt file [n, K]: softmax outputs for the first n training images."""
    factor: Annotated[float, BeforeValidator(_no_truth_value)] | None = Field(
        None, gt=0, le=1e6, allow_inf_nan=False
    )
    """Divisor of the keep probability; None calibrates it so that the expected rate is `rate`."""


class OpenSet(_Drawn):
    """Replace floor(rate N) images by training images of another data set; labels stay.

    Version 2: the digest of a table covers the source's digest, so that two sources that happen to
    lend images at the same positions are two tables.
    """

    VERSION: ClassVar[int] = 2

    kind: Literal["openset"] = "openset"
    source: Word
    """Name of the data set that the images come from."""


class File(_Spec):
    """Import labels that others made: .npy, .npz, .csv, .tsv, .txt, .json, .parquet or .pt.

    Nothing in a pickle is run. Version 2: rows are joined by index or path where there is one, and
    the first line of a text file without a header is a label.
    """

    VERSION: ClassVar[int] = 2

    kind: Literal["file"] = "file"
    path: Word
    """The file, relative to the project."""
    column: Word | None = None
    """Column or key, where the file holds several."""
    order: Literal["checked", "trusted"] = "checked"
    """trusted: accept labels that agree with the clean ones in a part of the file only, in another
    order of the classes, or no more than by chance."""
    convention: Word | None = None
    """What the publishers say it is; checked against the labels where it can be."""
    rate: Rate | None = None
    """Nominal rate, if one is known."""


class Cleaned(_Spec):
    """Mend the labels that a ranking of label errors suspects most."""

    kind: Literal["cleaned"] = "cleaned"
    suspects: Word
    """File that `analysis/label_errors.py --suspects` wrote, relative to the project. It holds the
    labels that are mended as well."""
    rate: Rate | None = None
    """Share of all labels that is flagged; None for the share that the file estimates."""
    repair: Repair
    """relabel gives the flagged samples the suggested label; drop leaves them out."""


ClassConditional = Annotated[
    Symmetric | SymmetricInclusive | Pair | Asymmetric | Matrix, Field(discriminator="kind")
]
"""Kinds whose flips depend on the class alone."""


class Hybrid(_Spec):
    """Class-conditional noise on top of labels that are noisy already."""

    kind: Literal["hybrid"] = "hybrid"
    base: Annotated[
        Pmd | Dependent | Instance | File | ClassConditional, Field(discriminator="kind")
    ]
    """The noise applied first."""
    then: ClassConditional
    """The noise applied to its labels (not to the clean ones)."""

    @property
    def version(self) -> int:
        """Rises whenever the version of either part does."""
        return self.base.version + self.then.version


NoiseSpec = Annotated[
    Clean
    | Symmetric
    | SymmetricInclusive
    | Pair
    | Asymmetric
    | Matrix
    | Instance
    | Dependent
    | Pmd
    | OpenSet
    | File
    | Cleaned
    | Hybrid,
    Field(discriminator="kind"),
]

_KINDS: dict[str, type[BaseModel]] = {
    model.model_fields["kind"].default: model
    for model in (
        Clean,
        Symmetric,
        SymmetricInclusive,
        Pair,
        Asymmetric,
        Matrix,
        Instance,
        Dependent,
        Pmd,
        OpenSet,
        File,
        Cleaned,
        Hybrid,
    )
}


def parse(values: object, where: str) -> NoiseSpec:
    """The checked model of one entry of the `noise` block.

    Args:
        values: the entry as read from params.yaml.
        where: what it belongs to, for the error.

    Returns:
        One of the models of `NoiseSpec`.

    Raises:
        LabError: for an unknown kind, an unknown key or a value out of range.
    """
    example = "{kind: symmetric, rate: 0.4}"
    return cast("NoiseSpec", validated_kind(_KINDS, values, where, example))
