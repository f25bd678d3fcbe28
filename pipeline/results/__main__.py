"""Care of the results store.

uv run python -m pipeline.results check       # is every file as it was written?
uv run python -m pipeline.results compact     # merge the files of finished runs
uv run python -m pipeline.results columns     # what the columns mean
"""

from __future__ import annotations

from pathlib import Path

from pipeline.command_line import run_subcommand
from pipeline.errors import program
from pipeline.results.columns import columns_table
from pipeline.results.compaction import compact
from pipeline.results.schema import TABLES
from pipeline.results.store import Store


def compact_store(store: Path | None = None) -> None:
    """Merge the files of finished runs, so that tables over thousands of runs come at once.

    Args:
        store: folder of the store; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    print(f"{compact(chosen)} runs merged into {chosen.folder / 'compacted'}")


def check(store: Path | None = None) -> None:
    """Verify every file of the store against its checksum and name the first that is damaged.

    Args:
        store: folder of the store; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    chosen.require()
    print(f"{chosen.check_files()} files of {chosen.folder}: all sound")


def columns() -> None:
    """Print every column of the three tables with its type and meaning, in Markdown."""
    print("\n\n".join(columns_table(table) for table in TABLES))


@program
def main() -> None:
    """Run the subcommand of the command line."""
    commands = {"compact": compact_store, "check": check, "columns": columns}
    run_subcommand(commands, __doc__)


if __name__ == "__main__":
    main()
