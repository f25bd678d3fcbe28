"""Preparing data sets whose images stay in files of their own: checks, index tables, card."""

from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from pipeline.data.data_card import DataCard, IndexFacts
from pipeline.data.data_spec import DataSpec
from pipeline.data.images.image_files import find_bad, resize_copies
from pipeline.data.images.transforms import CROP, TRANSFORMS
from pipeline.data.indexed.index_table import BAD, index_digest, table_file, write_bad, write_table
from pipeline.data.indexed.manifest import check_counts
from pipeline.data.listed import Bad, ListedSource
from pipeline.data.source import located
from pipeline.errors import LabError
from pipeline.files import cache_folder, project_root


def write_index(
    folder: Path, name: str, spec: DataSpec, source: ListedSource, facts: dict[str, JsonValue]
) -> DataCard:
    """Check a data set and its lists, and write its index tables and its card.

    Args:
        folder: an empty folder.
        name: of the data set.
        spec: its settings.
        source: what its lists say.
        facts: what it is made from.

    Returns:
        The card.

    Raises:
        LabError: if the lists are not the published ones, an image is in two splits, or lines or
            images are bad and the settings say `stop`.
    """
    _settle(spec, source, source.bad)
    check_counts(spec, source)
    _check_overlap(source)
    usable, pixels = _with_good_images(spec, source), "as published"
    if spec.cache_size is not None:
        key = index_digest(usable.splits, pixels)
        copies = cache_folder() / "images" / f"{key}-{spec.cache_size}"
        usable = _with_copies(usable, spec, copies.relative_to(project_root()).as_posix())
        pixels = (
            f"copies with a shorter side of {spec.cache_size} pixels, JPEG of quality 95; their "
            "pixels differ from the published ones"
        )
    for split_name, split in usable.splits.items():
        if len(split) == 0:
            raise LabError(
                f"no {split_name} images in {split.folder}",
                "one image or more",
                "check root:, and what data/NAME/bad.parquet named when it was prepared before",
            )
        write_table(folder / table_file(split_name), split)
    if usable.bad:
        write_bad(folder / BAD, usable.bad)
    card = _card(name, spec, usable, pixels, len(source.bad), facts)
    card.write(folder)
    return card


def _card(
    name: str,
    spec: DataSpec,
    source: ListedSource,
    pixels: str,
    n_bad_lines: int,
    facts: dict[str, JsonValue],
) -> DataCard:
    n_bad_images = len(source.bad) - n_bad_lines
    bad = {"wrong lines of the lists": n_bad_lines, "images that cannot be used": n_bad_images}
    left_out = {what: n for what, n in (bad | source.left_out).items() if n}
    sizes = {split_name: len(split) for split_name, split in source.splits.items()}
    return DataCard(
        name=name,
        kind=spec.kind,
        n_train=sizes.pop("train"),
        n_test=sizes.pop("test"),
        n_classes=len(source.class_names),
        class_names=source.class_names,
        image_shape=(CROP, CROP, 3),
        labels=spec.labels,
        has_clean=bool((source.splits["train"].y_clean >= 0).all()),
        digest=index_digest(source.splits, pixels),
        mean=source.mean,
        std=source.std,
        source=source.description,
        index=IndexFacts(
            transform=source.transform,
            roots={split_name: split.root for split_name, split in source.splits.items()},
            n_extra=sizes,
            n_bad_lines=n_bad_lines,
            n_bad_images=n_bad_images,
            pixels=pixels,
        ),
        left_out=left_out,
        made_from=facts,
    )


def _with_good_images(spec: DataSpec, source: ListedSource) -> ListedSource:
    faults = {
        name: find_bad(
            split.folder, split.paths.tolist(), spec.check_images, f"checking {name} images"
        )
        for name, split in source.splits.items()
    }
    return _without(faults, spec, source)


def _with_copies(source: ListedSource, spec: DataSpec, root: str) -> ListedSource:
    """Make copies of all images; the splits then read these."""
    assert spec.cache_size is not None  # asked before
    transform = TRANSFORMS[source.transform]
    faults = {
        name: resize_copies(
            split.folder,
            split.paths.tolist(),
            located(f"{root}/{name}"),
            spec.cache_size,
            transform.resize_of.get(name, transform.resize),
            f"resizing {name} images",
        )
        for name, split in source.splits.items()
    }
    good = _without(faults, spec, source)
    copied = {name: replace(split, root=f"{root}/{name}") for name, split in good.splits.items()}
    return replace(good, splits=copied)


def _without(
    faults: dict[str, dict[int, str]], spec: DataSpec, source: ListedSource
) -> ListedSource:
    """The source without faulty images, given by split and position; they join the bad ones."""
    bad = [
        Bad(name, reason, path=str(source.splits[name].paths[position]))
        for name, of_split in faults.items()
        for position, reason in of_split.items()
    ]
    _settle(spec, source, bad)
    splits = {name: split.without(list(faults[name])) for name, split in source.splits.items()}
    return replace(source, splits=splits, bad=[*source.bad, *bad])


def _settle(spec: DataSpec, source: ListedSource, bad: list[Bad]) -> None:
    """Go on without what is bad, or refuse to."""
    if not bad or spec.on_bad_image == "skip":
        return
    what = "image(s)" if bad[0].list_file is None else "line(s) of the lists"
    raise LabError(
        f"{len(bad)} {what} of {spec.kind} cannot be used, the first: {_place(bad[0], source)}",
        "whole images where the lists say, and lists as they were published",
        "mend them, or give on_bad_image: skip in params.yaml to leave them out",
    )


def _place(entry: Bad, source: ListedSource) -> str:
    """An image with its whole path, a line of a list as it is."""
    if entry.list_file is not None:
        return str(entry)
    return f"{source.splits[entry.split].folder}/{entry}"


def _check_overlap(source: ListedSource) -> None:
    """Refuse an image that is in two splits: it would be both learned and tested."""
    split_of: dict[tuple[str, str], str] = {}
    for name, split in source.splits.items():
        for path in split.paths.tolist():
            if (other := split_of.setdefault((split.root, path), name)) != name:
                raise LabError(
                    f"{path} is in the lists of both {other} and {name}",
                    "each image in one split",
                    "take the lists as they were published",
                )
