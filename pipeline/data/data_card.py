"""The card of a prepared data set: what is known about it without opening its images."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import JsonValue, TypeAdapter, ValidationError

from pipeline.data.arrays import BadFileError
from pipeline.data.data_spec import DataKind, LabelKind
from pipeline.identity import digest

CARD = "card.json"
_CHECKSUM = "checksum"


@dataclass(frozen=True)
class IndexFacts:
    """What a card says more about images that stay in files of their own.

    Args:
        transform: usual way from a file to what a network sees; a name in `transforms.TRANSFORMS`.
        roots: folder that the paths of a split start at, by split; relative ones start at the
            project root.
        n_extra: number of images of every split beside `train` and `test`.
        n_bad_lines: lines of the lists that were left out; data/NAME/bad.parquet names them.
        n_bad_images: images that were left out.
        pixels: "as published", or how the files read by a run differ from the published ones.
    """

    transform: str
    roots: dict[str, str]
    n_extra: dict[str, int]
    n_bad_lines: int
    n_bad_images: int
    pixels: str


@dataclass(frozen=True)
class DataCard:
    """What is known about a prepared data set without opening its images.

    Args:
        name: name of the data set in params.yaml.
        kind: the reader it came from.
        n_train: number of training images.
        n_test: number of test images.
        n_classes: number of classes.
        class_names: their names, by label.
        image_shape: (height, width, channels), as a network sees them.
        labels: "clean" if the training labels count as the truth, "given" if they may be wrong.
        has_clean: whether the true training labels are all known.
        digest: digest over content and order: of train images and labels, test images and labels
            and, if stored apart, the true training labels; of images in files of their own, the
            paths below their root stand for the images.
        mean: per channel, of pixels / 255: mean of the training pixels, or of images in files of
            their own the constant in common use.
        std: their population standard deviation, per channel; constant in the same case.
        source: how it was read.
        index: facts about images that stay in files of their own; None where all lie in one array.
        left_out: what the source holds and the data set does not: numbers, by what it is.
        made_from: what decides whether the data set is current (pipeline/data/facts.py); empty on
            cards that were written before it was recorded.
    """

    name: str
    kind: DataKind
    n_train: int
    n_test: int
    n_classes: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    labels: LabelKind
    has_clean: bool
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    index: IndexFacts | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    made_from: dict[str, JsonValue] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the card, with a checksum of its own, into the folder of its data set."""
        known = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        # Through text, so that the checksum is over what is read back: lists, no tuples.
        known[_CHECKSUM] = digest(json.loads(json.dumps(known)))
        (folder / CARD).write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def read_card(folder: Path) -> DataCard:
    """The card in the folder of a data set.

    Raises:
        BadFileError: if it is missing, damaged, changed by hand, or of another version.
    """
    try:
        found = json.loads((folder / CARD).read_bytes())
        # Cards that were written before they had a checksum are taken as they are.
        checksum = found.pop(_CHECKSUM, None)
        if checksum is not None and checksum != digest(found):
            raise BadFileError(f"{CARD} is damaged or was changed by hand")
        return TypeAdapter(DataCard).validate_python(found)
    except FileNotFoundError as error:
        raise BadFileError(f"{CARD} is missing") from error
    except (ValueError, AttributeError, TypeError, RecursionError, ValidationError) as error:
        raise BadFileError(f"{CARD} is damaged or of another version") from error
