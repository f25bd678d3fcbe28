"""What a label table is made from: all facts whose change makes it out of date."""

from __future__ import annotations

from pydantic import JsonValue

from pipeline.data.data_card import DataCard
from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError
from pipeline.fingerprints import content_digest
from pipeline.noise.noise_spec import (
    Cleaned,
    Dependent,
    File,
    Hybrid,
    Instance,
    NoiseSpec,
    OpenSet,
    Pmd,
)
from pipeline.storage.fetched import local_file


def noise_facts(spec: NoiseSpec, data_card: DataCard) -> dict[str, JsonValue]:
    """The facts behind the table of a specification, as they are now.

    Args:
        spec: kind and parameters.
        data_card: of the data set whose images it labels.

    Returns:
        Those of `spec_facts`, and data, the digest of the data set; source, the digest of the data
        set that open-set images come from (None where there is none, or where it is not prepared).
    """
    return spec_facts(spec) | {"data": data_card.digest, "source": _source_digest(spec)}


def spec_facts(spec: NoiseSpec) -> dict[str, JsonValue]:
    """The facts that hold whatever data set is labelled.

    Args:
        spec: kind and parameters.

    Returns:
        spec, as JSON; version, of its generator; files, the digest of the content of each file that
        the specification names, by path as written there (None for one that is not there).
    """
    return {
        "spec": spec.model_dump(mode="json"),
        "version": spec.version,
        "files": {path: content_digest(local_file(path)) for path in _files(spec)},
    }


def _files(spec: NoiseSpec) -> list[str]:
    if isinstance(spec, Hybrid):
        return _files(spec.base)
    if isinstance(spec, Dependent | Pmd):
        return [spec.posterior]
    if isinstance(spec, File):
        return [spec.path]
    if isinstance(spec, Cleaned):
        return [spec.suspects]
    if isinstance(spec, Instance) and spec.features is not None:
        return [spec.features]
    return []


def _source_digest(spec: NoiseSpec) -> str | None:
    if not isinstance(spec, OpenSet):
        return None
    try:
        return load_dataset(spec.source).card.digest
    except LabError:
        return None
