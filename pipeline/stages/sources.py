"""DVC stage `sources`: note which files the inputs of the grid are made from.

    python -m pipeline.stages.sources

DVC starts it every time. It writes one small file per entry under cache/sources, on which the
other stages depend: they run again when a file that an entry names has changed. It also refuses
names and settings that no stage should see.
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

_NAMING_FILES = ("root", "ilsvrc_root", "path", "features", "posterior", "weights")
"""Settings of entries in params.yaml whose value is a file or folder."""


@dataclass(frozen=True)
class Flags:
    """Note the sources of the grid."""


def sources(params: Params) -> dict[str, dict[str, Any]]:
    """What the inputs of the grid are made from.

    Args:
        params: with a grid.

    Returns:
        By path below cache/sources, without ending: the files that entries name with a fingerprint
        of names, sizes and times each, None where there is none.

    Raises:
        LabError: for a name that could not be a folder, a DVC stage and a word of a command.
    """
    grid = grid_of(params)
    datasets = [checked_name(name, "data set") for name in grid.datasets]
    noises = [checked_name(name, "noise") for name in grid.noises]
    encoders = [checked_name(name, "encoder") for name in {*grid.encoders, *params.encoders}]
    found = {f"data/{name}": _files(_of(params.datasets, name)) for name in datasets}
    for dataset, noise in product(datasets, noises):
        found[f"labels/{dataset}/{noise}"] = _label_files(noise, params)
    for name in encoders:
        entry = _of(params.encoders, name)
        found[f"encoders/{name}"] = (
            _files(entry)
            | _files(_of(params.datasets, entry.get("dataset")))
            | _label_files(entry.get("noise"), params)
        )
    return found


def _label_files(noise: object, params: Params) -> dict[str, Any]:
    """Files of a label table; open-set labels come with images of another data set."""
    entry = _of(params.noise, noise)
    return _files(entry) | _files(_of(params.datasets, entry.get("source")))


def _of(entries: Mapping[str, dict[str, Any]], name: object) -> dict[str, Any]:
    return entries.get(name, {}) if isinstance(name, str) else {}


def _files(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: listing_digest(project_root() / name) for name in sorted(_named(entry))}


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
