"""The readers, by kind of source."""

from collections.abc import Callable

from pipeline.data.data_spec import DataKind, DataSpec
from pipeline.data.listed import ListedSource
from pipeline.data.readers import (
    cifar,
    clothing1m,
    digits,
    food101n,
    hub_parquet,
    image_folder,
    labelled_folder,
    webvision,
)
from pipeline.data.source import Source


def _read_folder(spec: DataSpec) -> Source:
    if spec.label_file is not None:
        return labelled_folder.read_labelled_folder(spec)
    return image_folder.read_image_folder(spec)


READERS: dict[DataKind, Callable[[DataSpec], Source | ListedSource]] = {
    "digits": digits.read_digits,
    "cifar10": cifar.read_cifar,
    "cifar100": cifar.read_cifar,
    "imagefolder": _read_folder,
    "parquet": hub_parquet.read_hub_parquet,
    "clothing1m": clothing1m.read_clothing1m,
    "food101n": food101n.read_food101n,
    "webvision": webvision.read_webvision,
}
