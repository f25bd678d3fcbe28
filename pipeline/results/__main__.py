"""Care of the results store: `python -m pipeline.results compact`."""

from __future__ import annotations

from pathlib import Path

from tyro.extras import SubcommandApp

from pipeline.errors import program
from pipeline.results.compaction import compact
from pipeline.results.store import Store

app = SubcommandApp()


@app.command(name="compact")
def compact_store(store: Path | None = None) -> None:
    """Merge the files of finished runs, so that tables over thousands of runs come at once.

    Args:
        store: folder of the store; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    print(f"{compact(chosen)} runs merged into {chosen.folder / 'compacted'}")


@app.command
def check(store: Path | None = None) -> None:
    """Verify every file of the store against its checksum and name the first that is damaged.

    Args:
        store: folder of the store; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    chosen.require()
    print(f"{chosen.check_files()} files of {chosen.folder}: all sound")


@program
def main() -> None:
    """Run the subcommand of the command line."""
    app.cli(prog="python -m pipeline.results", description=__doc__)


if __name__ == "__main__":
    main()
