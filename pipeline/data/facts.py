"""What a prepared data set is made from, and whether it still is what its source would give."""

import os
from pathlib import Path

from pydantic import JsonValue

from pipeline.data.data_card import DataCard
from pipeline.data.data_spec import DataKind, DataSpec
from pipeline.data.source import located
from pipeline.fingerprints import listing_digest, walk_through_links
from pipeline.identity import digest

VERSION: dict[DataKind, int] = {"imagefolder": 2, "parquet": 2}
"""Raised when a reader makes other arrays of the same source; 1 for the kinds not named.
2: images are turned upright as their EXIF orientation says; sub-folders of classes are read."""

_LISTS: dict[DataKind, tuple[str, ...]] = {
    "clothing1m": ("annotations",),
    "food101n": ("Food-101N_release/meta", "food-101/meta"),
    "webvision": ("info", "val_filelist.txt"),
}
_IMAGES: dict[DataKind, tuple[str, ...]] = {
    "clothing1m": ("images",),
    "food101n": ("Food-101N_release/images", "food-101/images"),
    "webvision": ("google", "flickr", "val_images_256"),
}
_ILSVRC_LISTS = ("ILSVRC2012_val_label.txt", "synsets.txt")
_ILSVRC_IMAGES = ("ILSVRC2012_img_val",)


def data_facts(spec: DataSpec) -> dict[str, JsonValue]:
    """All that a prepared data set is made from.

    Args:
        spec: settings of the data set.

    Returns:
        `spec`: the settings that differ from their defaults, roots as absolute paths;
        `version`: of the reader;
        `source`: fingerprint of the files (names, sizes, times), None where there is no root or
        nothing lies there. Of large data sets in files of their own it covers the lists and, as
        `check_images` asks, nothing of the images (`none`), the names and times of their folders
        (`exist`), or the names, sizes and times of all of them (`decode`).
    """
    settings = spec.model_dump(mode="json", exclude_defaults=True)
    for name in ("root", "label_file", "ilsvrc_root"):
        if (given := getattr(spec, name)) is not None:
            settings[name] = str(located(given))
    return {"spec": settings, "version": VERSION.get(spec.kind, 1), "source": _fingerprint(spec)}


def is_current(card: DataCard, spec: DataSpec) -> bool:
    """Whether preparing a data set again would read the same source in the same way.

    A source that is gone counts as unchanged. Without a root of its own `spec` means the place
    that the data set was prepared from, so one that was downloaded stays.

    Args:
        card: of the prepared data set.
        spec: its settings now.
    """
    if not card.made_from:
        # Nothing is known: what came from a root is read again, what did not can only stay.
        return spec.kind == card.kind and _is_gone(spec)
    now = data_facts(with_known_root(spec, card))
    if now["source"] is None:
        now["source"] = card.made_from.get("source")
    return now == card.made_from


def _is_gone(spec: DataSpec) -> bool:
    """Whether there is nothing to read again; the digits come with a library."""
    return spec.kind != "digits" and (spec.root is None or not os.path.exists(located(spec.root)))


def with_known_root(spec: DataSpec, card: DataCard) -> DataSpec:
    """The settings, with the root that the data set was prepared from if they name none."""
    before = card.made_from.get("spec")
    if spec.root is not None or spec.kind != card.kind or not isinstance(before, dict):
        return spec
    return spec.model_copy(update={"root": before.get("root")})


def _fingerprint(spec: DataSpec) -> str | None:
    if spec.root is None or _is_gone(spec):
        return None
    root = located(spec.root)
    match spec.kind:
        case "cifar10" | "cifar100":
            # Imported here because it loads pyarrow, which the other kinds should not cost.
            from pipeline.data.readers.cifar import source_files

            return digest([listing_digest(file) for file in source_files(spec.kind, root)])
        case "clothing1m" | "food101n" | "webvision":
            lists, images = _listed_places(spec, root)
            return digest([*map(listing_digest, lists), *(_look(spec, place) for place in images)])
        case _ if spec.label_file is not None:
            return digest([listing_digest(root), listing_digest(located(spec.label_file))])
        case _:
            return listing_digest(root)


def _listed_places(spec: DataSpec, root: Path) -> tuple[list[Path], list[Path]]:
    """Where the lists lie, and where the images."""
    lists = [root / name for name in _LISTS[spec.kind]]
    images = [root / name for name in _IMAGES[spec.kind]]
    if spec.kind == "webvision":
        second = located(spec.ilsvrc_root) if spec.ilsvrc_root else root / "ILSVRC2012"
        lists += [second / name for name in _ILSVRC_LISTS]
        images += [second / name for name in _ILSVRC_IMAGES]
    return lists, images


def _look(spec: DataSpec, place: Path) -> str | None:
    match spec.check_images:
        case "none":
            return None
        case "exist":
            return _folders_digest(place)
        case "decode":
            return listing_digest(place)


def _folders_digest(root: Path) -> str | None:
    """Digest of the names and times of all folders, which change when a file comes or goes."""
    if not root.is_dir():
        return None
    found = [
        [folder.relative_to(root).as_posix(), os.stat(folder).st_mtime_ns]
        for folder, _ in walk_through_links(root)
    ]
    return digest(found)
