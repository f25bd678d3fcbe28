"""A bundle: some runs with their report in one zip file, which opens without this laboratory.

The runs lie in it as a store, which the programs of this folder open, and polars or DuckDB alone.
The same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import polars as pl

from pipeline.files import replacing
from pipeline.results.export import store_files
from pipeline.results.store import Store
from pipeline.results.view import Results

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Zip files hold times; this is the first one they can hold."""


def write_bundle(
    path: Path, page: bytes, source: Results, keys: Collection[str], samples: Store | None = None
) -> int:
    """Write a bundle.

    Args:
        path: zip file to make or to replace.
        page: its report, in HTML.
        source: runs and epochs, each run once.
        keys: which of the runs.
        samples: store that has their samples, if these are wanted.

    Returns:
        Number of runs in it.

    Raises:
        LabError: where the store cannot be read.
    """
    wanted = pl.col("key").is_in(list(keys))
    runs, epochs = source.runs.filter(wanted).collect(), source.epochs.filter(wanted).collect()
    readme = files("analysis").joinpath("bundle.md").read_bytes()
    with replacing(path) as temporary, ZipFile(temporary, "w") as bundle:
        for name, content in (("README.md", readme), ("report.html", page)):
            bundle.writestr(_named(name, ZIP_DEFLATED), content)
        for name, content in store_files(runs, epochs, samples):
            bundle.writestr(_named(f"store/{name}", ZIP_STORED), content)
    return runs.height


def _named(name: str, compression: int) -> ZipInfo:
    info = ZipInfo(name, _LONG_AGO)
    info.compress_type, info.external_attr = compression, 0o644 << 16
    return info
