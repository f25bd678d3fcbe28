"""The noise card: what is known about a label table, beside the labels themselves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline.identity import array_digest, digest
from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.models.open_set import Replacement

_DECIMALS = 6


@dataclass(frozen=True)
class NoiseCard:
    """Description of one label table.

    Args:
        dataset: name of the data set.
        name: name of the table in params.yaml.
        generator: kind of noise that made it.
        version: version of the generator.
        convention: what its rate and its targets mean, in one word.
        nominal_rate: rate as asked for or published; None if there is none.
        seed: of the generator; None where nothing was drawn here.
        realised_rate: share of labels that differ from the clean ones; None without clean labels.
        per_class_rates: the same by clean class; None for a class without samples.
        transition: [K][K], share of each clean class (row) that got each label; a row of zeros for
            a class without samples. None without clean labels.
        n: number of labels.
        n_classes: K.
        data_digest: digest of the data set whose training images the labels belong to.
        labels_digest: digest of the table.
        details: what else the generator reports: factor, map, source of a file, open-set share.
    """

    dataset: str
    name: str
    generator: str
    version: int
    convention: str
    nominal_rate: float | None
    seed: int | None
    realised_rate: float | None
    per_class_rates: tuple[float | None, ...] | None
    transition: tuple[tuple[float, ...], ...] | None
    n: int
    n_classes: int
    data_digest: str
    labels_digest: str
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The card as JSON text, keys in the order of the fields."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> NoiseCard:
        """Read what `to_json` wrote.

        Args:
            text: JSON.

        Returns:
            The card.

        Raises:
            ValueError: if it is not a card.
        """
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            raise ValueError("not a noise card") from error

    def to_file(self, labels_file: str) -> str:
        """The content of card.json: the card, the digest of the labels' file, and a seal over both.

        Args:
            labels_file: digest of the bytes of labels.parquet.

        Returns:
            JSON text, whose every change the seal shows.
        """
        content = json.loads(self.to_json()) | {"labels_file": labels_file}
        return json.dumps(content | {"seal": digest(content)}, allow_nan=False)

    @classmethod
    def from_file(cls, text: bytes) -> tuple[NoiseCard, str]:
        """Read what `to_file` wrote.

        Args:
            text: JSON.

        Returns:
            The card, and the digest of the labels' file.

        Raises:
            ValueError: if it is not a card, or not as it was written.
        """
        try:
            content = json.loads(text)
            seal = content.pop("seal")
            if digest(content) != seal:
                raise ValueError("the card was changed")
            return cls.from_json(json.dumps(content)), str(content["labels_file"])
        except KeyError as error:
            raise ValueError("a card of an earlier version") from error
        except (AttributeError, TypeError, RecursionError) as error:
            raise ValueError("not a noise card") from error


@dataclass(frozen=True)
class Realised:
    """What the labels themselves say about the noise.

    Args:
        rate: share of labels that differ from the clean ones.
        per_class: the same by clean class; None for a class without samples.
        transition: [K][K] shares, rounded to six decimals.
    """

    rate: float
    per_class: tuple[float | None, ...]
    transition: tuple[tuple[float, ...], ...]


def confusion(clean: Labels, noisy: Labels, n_classes: int) -> Labels:
    """Count label pairs.

    Args:
        clean: int64 [N].
        noisy: int64 [N].
        n_classes: K.

    Returns:
        int64 [K, K], rows are clean classes.
    """
    pairs = np.bincount(clean * n_classes + noisy, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes)


def realised(counts: Labels) -> Realised:
    """Rates and matrix of counted label pairs.

    Args:
        counts: int64 [K, K], rows are clean classes.

    Returns:
        The realised noise.
    """
    sizes = counts.sum(axis=1)
    shares: Floats = counts / np.maximum(sizes, 1)[:, None]
    kept = np.diag(counts)
    return Realised(
        rate=int((sizes - kept).sum()) / int(sizes.sum()),
        per_class=tuple(
            round((int(n) - int(k)) / int(n), _DECIMALS) if n else None
            for k, n in zip(kept, sizes, strict=True)
        ),
        transition=tuple(map(tuple, shares.round(_DECIMALS).tolist())),
    )


def labels_digest(
    index: Labels, clean: Labels | None, noisy: Labels, openset: Replacement | None
) -> str:
    """Digest of everything that a table says about the samples.

    Args:
        index: int64 [N], positions in the training split.
        clean: int64 [N] or None.
        noisy: int64 [N].
        openset: replaced images or None.

    Returns:
        16 hex digits.
    """
    arrays: list[np.ndarray[Any, Any]] = [index, noisy]
    if clean is not None:
        arrays.append(clean)
    if openset is not None:
        source = np.frombuffer(openset.source_digest.encode(), np.uint8)
        arrays += [openset.index, openset.source_index, source]
    return array_digest(*arrays)
