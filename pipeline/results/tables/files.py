"""The files of a store: which there are, and whether they are sound."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import polars as pl

from pipeline.errors import LabError, quoted
from pipeline.results.schema import TABLES, Table, dtypes
from pipeline.results.tables import index, layout, parquet
from pipeline.results.tables.manifest import Manifest, Segment, newest
from pipeline.storage.entry import Entry
from pipeline.storage.place import Place

_FEW = 64
"""Up to so many files are asked for one by one; for more, the folder is listed."""
_AT_ONCE = 16
"""Objects of a bucket that are fetched at the same time."""


class StoreFiles:
    """The files of a store.

    Args:
        place: where they lie; need not exist.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def require(self) -> None:
        """Make sure that the store exists.

        Raises:
            LabError: if it does not.
        """
        folders = ("runs", layout.MANIFESTS, layout.EARLY)
        if not any(self.place.entries(folder) for folder in folders):
            raise LabError(
                f"no results store at {quoted(self.place.address)[1:-1]}",
                "a place that the first run makes",
                "uv run dvc repro, or name another one by --store or LNL_STORE",
            )

    def files(self, table: Table, keys: Collection[str] | None = None) -> dict[str, Entry]:
        """Loose files that exist in one table, by key in rising order."""
        names = None if keys is None else {layout.loose(table, key): key for key in keys}
        if names is not None and len(names) <= _FEW:
            found = [entry for name in sorted(names) if (entry := self.place.head(name))]
        else:
            found = [
                entry
                for entry in self.place.entries(table)
                if entry.name.endswith(layout.ENDING) and (names is None or entry.name in names)
            ]
        return {layout.key_of(entry.name): entry for entry in found}

    def check_files(
        self, keys: Collection[str] | None = None, tables: Collection[Table] = tuple(TABLES)
    ) -> int:
        """Verify every file that holds rows of all runs, or of `keys`, against its checksum.

        Files of early versions have none and are read in full instead.

        Args:
            keys: the runs, or all.
            tables: the tables, or all.

        Returns:
            Number of files, all of them sound.

        Raises:
            LabError: naming the first file that is damaged or missing, and the way out.
        """
        n_files = 0
        # Loose files first: what a compaction takes away meanwhile is in the manifest after that.
        for table in tables:
            names = [entry.name for entry in self.files(table, keys).values()]
            n_files += sum(1 for _ in self.sound(table, names))
        for segment in self._segments(newest(self.place), keys, tables):
            n_files += sum(1 for _ in self.sound(segment.table, [segment.name], required=True))
        return n_files

    def sound(self, table: Table, names: Iterable[str], required: bool = False) -> Iterator[Sound]:
        """Fetch files one after another and verify each against its checksum.

        Args:
            table: which they belong to.
            names: in the store.
            required: whether a file that is gone is an error.

        Yields:
            Those that exist, in the order of `names`.

        Raises:
            LabError: naming the first file that is damaged, and the way out.
        """
        for name, content in self._contents(names):
            found = None
            if content is not None:
                file = io.BytesIO(content)
                found = parquet.fault(file, dtypes(TABLES[table]))
                if found is None:
                    yield Sound(name, file)
            elif required:
                found = "is missing"
            if found:
                raise LabError(
                    f"{self.place.uri(name)} {found}",
                    "a file as the store wrote it",
                    f"{self._way_out(name)}; what it held is then computed again",
                )

    def _contents(self, names: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        if self.place.is_folder:
            yield from ((name, self.place.get(name)) for name in names)
            return
        waiting = list(names)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for start in range(0, len(waiting), _AT_ONCE):
                batch = waiting[start : start + _AT_ONCE]
                yield from zip(batch, pool.map(self.place.get, batch), strict=True)

    def _way_out(self, name: str) -> str:
        if not name.startswith(tuple(f"{table}/" for table in TABLES)):
            where = f" --store {self.place.address}"
            return f"uv run python -m pipeline.results forget {name}{where}"
        if self.place.is_folder:
            return f"rm {self.place.address}/*/{layout.key_of(name)}{layout.ENDING}"
        return f"remove {layout.key_of(name)}{layout.ENDING} from runs/, epochs/ and samples/"

    def _segments(
        self, state: Manifest, keys: Collection[str] | None, tables: Collection[Table]
    ) -> list[Segment]:
        """Segments that hold rows of all runs, or of `keys`."""
        listed = [segment for segment in state.segments if segment.table in tables]
        if keys is None:
            return listed
        return [s for s in listed if s.covers_any(keys) and self._holds(s, keys)]

    def _holds(self, segment: Segment, keys: Collection[str]) -> bool:
        if segment.table == "runs":
            return bool(index.find(self.place, [segment], keys))
        schema = {"key": TABLES[segment.table]["key"].dtype}
        rows = parquet.scan([self.place.uri(segment.name)], schema, self.place.storage_options)
        try:
            return not rows.filter(pl.col("key").is_in(list(keys))).head(1).collect().is_empty()
        except (OSError, pl.exceptions.PolarsError):
            return True  # what cannot be read is looked at closely


class Sound(NamedTuple):
    """A file whose checksum is right."""

    name: str
    file: io.BytesIO
