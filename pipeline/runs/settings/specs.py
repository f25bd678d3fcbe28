"""What params.yaml says about the inputs of runs: data sets and label tables by name."""

from __future__ import annotations

from typing import Any

from pipeline.config import Params, validated
from pipeline.data.data_spec import BUILT_IN, DataSpec
from pipeline.errors import LabError, quoted, suggest
from pipeline.files import labels_folder
from pipeline.names import checked_name
from pipeline.noise.label_table import open_table
from pipeline.noise.noise_spec import NoiseSpec, parse
from pipeline.noise.rate_names import name_of_rate, spec_of_name


def data_spec(name: str, params: Params, root: str | None = None) -> DataSpec:
    """How a data set is read: its entry in params.yaml, or the built-in one.

    Args:
        name: of the data set.
        params: names further data sets.
        root: overrides where the files lie.

    Returns:
        The checked specification.

    Raises:
        LabError: for an unknown name or a faulty entry.
    """
    if name in params.datasets:
        spec = validated(DataSpec, params.datasets[name], f"params.yaml: datasets.{name}")
    elif name in BUILT_IN:
        spec = BUILT_IN[name]
    else:
        raise LabError(
            f"unknown data set {quoted(name)}",
            *suggest(
                name,
                [*params.datasets, *BUILT_IN],
                "a new entry under datasets in params.yaml, as in  "
                "NAME: {kind: imagefolder, root: my-images, image_size: 32}",
            ),
        )
    if root is None:
        return spec
    # Checked anew: the digits have no root, and an empty one is none.
    return validated(DataSpec, spec.model_dump() | {"root": root}, f"--root of data set {name}")


def noise_name(given: str, params: Params) -> str:
    """The name of a label table, which may be given by kind and rate, as in `symmetric:0.4`.

    Args:
        given: a name, or KIND:RATE.
        params: names the label noises.

    Returns:
        The name itself; of KIND:RATE that of the entry that says the same, or one of its own.

    Raises:
        LabError: for a kind or a rate that is none, and where params.yaml gives that name to
            other labels.
    """
    if ":" not in given:
        return given
    name = name_of_rate(given)
    asked = spec_of_name(name)
    known = {
        entry: parse(values, f"params.yaml: noise.{entry}")
        for entry, values in params.noise.items()
    }
    same = [entry for entry, spec in known.items() if spec == asked]
    if name in known and not same:
        raise LabError(
            f"noise {quoted(given)}, whose name {name} params.yaml gives to other labels",
            f"an entry {name} that says the same, or none",
            "rename the entry",
        )
    return same[0] if same else name


def noise_spec(dataset: str, noise: str, params: Params) -> NoiseSpec:
    """What a label table is made from: its entry in params.yaml, or what was imported.

    Args:
        dataset: name of the data set.
        noise: name of the table; `clean`, and names such as `symmetric-0_4`, need no entry.
        params: names the label noises.

    Returns:
        The checked specification.

    Raises:
        LabError: for an unknown name or a faulty entry.
    """
    if checked_name(noise, "noise") in params.noise:
        return parse(params.noise[noise], f"params.yaml: noise.{noise}")
    if noise == "clean":
        return parse({"kind": "clean"}, "noise clean")
    if (described := spec_of_name(noise)) is not None:
        return described
    imported = _imported_spec(dataset, noise)
    if imported is not None:
        return parse(imported, f"card of label table {noise}")
    raise LabError(
        f"unknown noise {quoted(noise)} of data set {dataset}",
        *suggest(
            noise,
            [*params.noise, "clean"],
            "a new entry under noise in params.yaml, as in  NAME: {kind: symmetric, rate: 0.4}; "
            "or a file of labels: uv run python -m pipeline.noise import FILE DATASET NAME",
        ),
    )


def _imported_spec(dataset: str, noise: str) -> dict[str, Any] | None:
    """The specification on the card of a table that `pipeline.noise import` or `clean` made."""
    folder = labels_folder(dataset, noise)
    if not folder.is_dir():
        return None
    made_from = open_table(folder).card.details.get("made_from", {})
    spec = made_from.get("spec", {})
    return spec if spec.get("kind") in {"file", "cleaned"} else None
