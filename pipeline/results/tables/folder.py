"""Where the files of a store lie, and whether they are sound."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from pipeline.errors import LabError, quoted
from pipeline.results.schema import TABLES, Table, dtypes
from pipeline.results.tables import parquet

ENDING = ".parquet"
_KEY = re.compile(r"[A-Za-z0-9_-]+")


class StoreFolder:
    """The files of a store.

    Args:
        folder: where they lie; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def require(self) -> None:
        """Make sure that the store exists.

        Raises:
            LabError: if it does not.
        """
        if not any(os.path.isdir(self.folder / name) for name in ("runs", "compacted")):
            raise LabError(
                f"no results store at {quoted(str(self.folder))[1:-1]}",
                "a folder that the first run makes",
                "uv run dvc repro, or name another one by --store or LNL_STORE",
            )

    def path(self, table: Table, key: str) -> Path:
        """File of one run in one table."""
        if not _KEY.fullmatch(key):
            raise LabError(
                f"key {quoted(key)}",
                "letters, digits, - and _",
                "uv run python -m pipeline.stages.runs --plan, which prints keys",
            )
        return self.folder / table / f"{key}{ENDING}"

    def compacted_path(self, table: Table) -> Path:
        """File that holds the merged runs of one table, once there has been a compaction."""
        return self.folder / "compacted" / f"{table}{ENDING}"

    def files(self, table: Table, keys: Collection[str] | None = None) -> dict[str, Path]:
        """Files of single runs that exist in one table, by key in rising order."""
        if keys is not None:
            paths = {key: self.path(table, key) for key in sorted(set(keys))}
            return {key: path for key, path in paths.items() if path.exists()}
        try:
            names = sorted(os.listdir(self.folder / table))
        except FileNotFoundError:
            return {}
        # Names with a leading dot are files still being written.
        finished = [name for name in names if name.endswith(ENDING) and not name.startswith(".")]
        return {name.removesuffix(ENDING): self.folder / table / name for name in finished}

    def check_files(
        self, keys: Collection[str] | None = None, tables: Collection[Table] = tuple(TABLES)
    ) -> int:
        """Verify every file of all runs, or of `keys`, against its checksum.

        Files of early versions have none and are read in full instead.

        Args:
            keys: the runs, or all.
            tables: the tables, or all.

        Returns:
            Number of files, all of them sound.

        Raises:
            LabError: naming the first file that is damaged, and the way out.
        """
        n_files = 0
        for table in tables:
            merged = self.compacted_path(table)
            remedies = {merged: f"rm -r {merged.parent}"} if merged.exists() else {}
            for key, path in self.files(table, keys).items():
                remedies[path] = f"rm {self.folder}/*/{key}{ENDING}"
            for path, remedy in remedies.items():
                if found := parquet.fault(path, dtypes(TABLES[table])):
                    raise LabError(
                        f"{path} {found}",
                        "a file as the store wrote it",
                        f"{remedy}; what it held is then computed again",
                    )
            n_files += len(remedies)
        return n_files
