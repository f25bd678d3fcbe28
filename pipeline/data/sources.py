"""The readers, by kind of source."""

from collections.abc import Callable

from pipeline.data import cifar, digits, hub_parquet, image_folder
from pipeline.data.source import Source
from pipeline.data.spec import DataKind, DataSpec

READERS: dict[DataKind, Callable[[DataSpec], Source]] = {
    "digits": digits.read,
    "cifar10": cifar.read,
    "cifar100": cifar.read,
    "imagefolder": image_folder.read,
    "parquet": hub_parquet.read,
}
