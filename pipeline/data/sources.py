"""The readers, by kind of source."""

from collections.abc import Callable

from pipeline.data import (
    cifar,
    clothing1m,
    digits,
    food101n,
    hub_parquet,
    image_folder,
    webvision,
)
from pipeline.data.listed import ListedSource
from pipeline.data.source import Source
from pipeline.data.spec import DataKind, DataSpec

READERS: dict[DataKind, Callable[[DataSpec], Source | ListedSource]] = {
    "digits": digits.read,
    "cifar10": cifar.read,
    "cifar100": cifar.read,
    "imagefolder": image_folder.read,
    "parquet": hub_parquet.read,
    "clothing1m": clothing1m.read,
    "food101n": food101n.read,
    "webvision": webvision.read,
}
