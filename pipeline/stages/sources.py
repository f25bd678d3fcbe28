"""DVC stage `sources`: note what the inputs of the grid are made from.

    python -m pipeline.stages.sources

DVC starts it every time. It writes one small file per input under cache/sources, on which the
other stages depend: they run again when an entry of params.yaml, or a file that it names, has
changed. It also refuses names and settings that no stage should see.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import tyro

from pipeline.config import Params, grid_of, read_params
from pipeline.errors import program
from pipeline.files import cache_folder, project_root, replacing
from pipeline.fingerprints import listing_digest
from pipeline.names import checked_name

Facts = dict[str, Any]
_NAMING_FILES = ("root", "ilsvrc_root", "path", "features", "posterior", "weights")
"""Settings of entries in params.yaml whose value is a file or folder."""


@dataclass(frozen=True)
class Flags:
    """Note the sources of the grid."""


def sources(params: Params) -> dict[str, Facts]:
    """What the inputs of the grid are made from.

    Args:
        params: with a grid.

    Returns:
        By path below cache/sources, without ending: the entries of params.yaml, and of the files
        that they name a fingerprint of names, sizes and times each, None where there is none.

    Raises:
        LabError: for a name that could not be a folder, a DVC stage and a word of a command.
    """
    grid = grid_of(params)
    datasets = [checked_name(name, "data set") for name in grid.datasets]
    noises = [checked_name(name, "noise") for name in grid.noises]
    encoders = [checked_name(name, "encoder") for name in {*grid.encoders, *params.encoders}]
    return {
        **{f"data/{name}": _data(name, params) for name in datasets},
        **{f"labels/{on}/{name}": _labels(name, params) for on, name in product(datasets, noises)},
        **{f"encoders/{name}": _encoder(name, params) for name in encoders},
    }


def _data(name: object, params: Params) -> Facts:
    return _facts("datasets", name, params.datasets)


def _labels(name: object, params: Params) -> Facts:
    """Facts of a label table; open-set labels come with images of another data set."""
    facts = _facts("noise", name, params.noise)
    return facts | _data(_of(params.noise, name).get("source"), params)


def _encoder(name: object, params: Params) -> Facts:
    entry = _of(params.encoders, name)
    facts = _facts("encoders", name, params.encoders)
    return facts | _data(entry.get("dataset"), params) | _labels(entry.get("noise"), params)


def _facts(block: str, name: object, entries: Mapping[str, dict[str, Any]]) -> Facts:
    entry = _of(entries, name)
    files = {path: listing_digest(project_root() / path) for path in sorted(_named(entry))}
    return {f"{block}.{name}": {"entry": entry, "files": files}} if entry else {}


def _of(entries: Mapping[str, dict[str, Any]], name: object) -> dict[str, Any]:
    return entries.get(name, {}) if isinstance(name, str) else {}


def _named(entry: Mapping[str, Any]) -> Iterator[str]:
    for setting, value in entry.items():
        if isinstance(value, Mapping):
            yield from _named(value)
        elif setting in _NAMING_FILES and isinstance(value, str):
            yield value


@program
def main() -> None:
    """Write the notes."""
    tyro.cli(Flags, description=__doc__)
    found = sources(read_params())
    for name, facts in found.items():
        with replacing(cache_folder() / "sources" / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"sources of {len(found)} inputs noted")


if __name__ == "__main__":
    main()
