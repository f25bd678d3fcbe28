"""DVC stage `sources`: note what the inputs of the grid are made from.

    uv run python -m pipeline.stages.sources

DVC starts it every time. It writes one small file per input under cache/sources, on which the
other stages depend: they run again when an entry of params.yaml, or a file that it names, has
changed. It also refuses names and settings that no stage should see.
"""

import json
from dataclasses import dataclass
from itertools import product
from typing import Any

from pipeline.command_line import read_flags
from pipeline.config import Params, grid_of, read_params
from pipeline.data.facts import data_facts
from pipeline.encoders.encoder_spec import encoder_spec
from pipeline.errors import program
from pipeline.files import cache_folder, replacing
from pipeline.fingerprints import content_digest, listing_digest
from pipeline.names import checked_name
from pipeline.noise.made_from import spec_facts
from pipeline.noise.noise_spec import OpenSet
from pipeline.runs.settings.recipes import found_files
from pipeline.runs.settings.specs import data_spec, noise_spec
from pipeline.storage.fetched import local_file

Facts = dict[str, Any]
_NAMING_FILES = ("path", "weights")
"""Settings of encoders whose value is a file."""


@dataclass(frozen=True)
class Flags:
    """Note the sources of the grid."""


def sources(params: Params) -> dict[str, Facts]:
    """What the inputs of the grid are made from.

    Args:
        params: with a grid.

    Returns:
        By path below cache/sources, without ending: what `data_facts` and `spec_facts` say, of
        encoders their entry and the fingerprint of their file, and of recipes that searches found
        the fingerprints of their files.

    Raises:
        LabError: for a name that could not be a folder, a DVC stage and a word of a command.
    """
    grid = grid_of(params)
    datasets = [checked_name(name, "data set") for name in grid.datasets]
    noises = [checked_name(name, "noise") for name in grid.noises]
    encoders = [checked_name(name, "encoder") for name in {*grid.encoders, *params.encoders}]
    draws = {"draws": grid.label_draws} if grid.label_draws else {}
    recipes = {path.name: content_digest(path) for path in found_files()}
    return {
        **{f"data/{name}": _data(name, params) for name in datasets},
        **{
            f"labels/{on}/{name}": _labels(on, name, params, draws)
            for on, name in product(datasets, noises)
        },
        **{f"encoders/{name}": _encoder(name, params) for name in encoders},
        **({"recipes": recipes} if recipes else {}),
    }


def _data(name: str, params: Params) -> Facts:
    return data_facts(data_spec(name, params))


def _labels(dataset: str, name: str, params: Params, draws: Facts) -> Facts:
    """Facts of a label table; open-set labels come with images of another data set."""
    spec = noise_spec(dataset, name, params)
    facts = spec_facts(spec) | draws
    return facts | {"source": _data(spec.source, params)} if isinstance(spec, OpenSet) else facts


def _encoder(name: str, params: Params) -> Facts:
    """Facts of an encoder: its entry, the file that it names, and what its run learns from."""
    encoder_spec(name, params.encoders)
    entry = params.encoders[name]
    named = [entry[key] for key in _NAMING_FILES if key in entry]
    if isinstance(tables := entry.get("files"), dict):  # embeddings, a file per split
        named += tables.values()
    files = {name: listing_digest(local_file(name)) for name in named if isinstance(name, str)}
    dataset, noise = entry.get("dataset"), entry.get("noise")
    inputs = {} if dataset is None else {"data": _data(dataset, params)}
    if dataset is not None and noise is not None:
        inputs["labels"] = _labels(dataset, noise, params, {})
    return {"entry": entry, "files": files, **inputs}


@program
def main() -> None:
    """Write the notes."""
    read_flags(Flags, __doc__)
    found = sources(read_params())
    for name, facts in found.items():
        with replacing(cache_folder() / "sources" / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"sources of {len(found)} inputs noted")


if __name__ == "__main__":
    main()
