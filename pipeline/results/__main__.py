"""Care of the results store.

uv run python -m pipeline.results check            # is every file as it was written?
uv run python -m pipeline.results compact          # merge the files of finished runs
uv run python -m pipeline.results forget SEGMENT   # leave a damaged one out
uv run python -m pipeline.results columns          # what the columns mean
uv run python -m pipeline.results import-log CARD LOG   # a log of another program, marked foreign
uv run python -m pipeline.results rm KEY           # remove runs for good, with all they left
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import tyro

from pipeline.command_line import run_subcommand
from pipeline.errors import LabError, program
from pipeline.results.columns import columns_table
from pipeline.results.foreign import import_foreign
from pipeline.results.keys import resolved, title
from pipeline.results.schema import TABLES
from pipeline.results.standing import computed_now, in_words
from pipeline.results.store import Store
from pipeline.results.tables.layout import SEGMENTS
from pipeline.results.upkeep.compaction import compact
from pipeline.results.upkeep.removal import half_removed, remove
from pipeline.results.upkeep.repair import forget
from pipeline.results.view import views_that_hold
from pipeline.storage.belongings import belongings


def compact_store(store: str | None = None) -> None:
    """Merge the files of finished runs, so that tables over thousands of runs come at once.

    Args:
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    print(f"{compact(chosen)} runs merged into {chosen.place.uri(SEGMENTS)}")


def check(store: str | None = None) -> None:
    """Verify every file of the store against its checksum and name the first that is damaged.

    Args:
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    chosen.require()
    print(f"{chosen.check_files()} files of {chosen.place.address}: all sound")


def forget_segment(segment: tyro.conf.Positional[str], store: str | None = None) -> None:
    """Leave a damaged segment out of the store; what it held is computed again.

    Args:
        segment: its name in the store, as `check` prints it.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    lost = forget(Store(store), segment)
    print(f"{segment} is left out; {lost} runs lack a part and count as not computed")


def import_log(
    card: tyro.conf.Positional[Path], log: tyro.conf.Positional[Path], store: str | None = None
) -> None:
    """Make the log of another program a row of the store, which tables call foreign.

    Args:
        card: YAML file that says what was run, where, and on which labels; docs/published.md.
        log: CSV file with a row per epoch: epoch, test_accuracy, ..., as fractions.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    print(f"{log} is run {import_foreign(card, log, chosen)} of {chosen.place.address}, foreign")


def remove_runs(
    keys: tyro.conf.Positional[tuple[str, ...]], yes: bool = False, store: str | None = None
) -> None:
    """Remove runs for good: rows of all tables, checkpoint, kept weights and softmax outputs.

    Args:
        keys: of the runs, or the beginning of each; `analysis/runs.py list` prints them.
        yes: do not ask.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    chosen = Store(store)
    chosen.require()
    if not keys:
        raise LabError("rm without a run", "keys of runs", "uv run python analysis/runs.py list")
    found = resolved(chosen, keys, half_removed(chosen))
    runs = chosen.runs(found).with_columns(in_words(computed_now(chosen.place))).collect()
    words = {row["key"]: f"{title(row)}: {row['status']}" for row in runs.to_dicts()}
    for key in found:
        left = filter(None, belongings(chosen.artefacts, key))
        print("; ".join([f"run {key}, {words.get(key, 'half removed before')}", *left]))
    for grid, inside in views_that_hold(found).items():
        print(f"note: the view of grid {grid} keeps {', '.join(inside)}; the grid computes it anew")
    if not yes and not _agreed("remove for good? [y/N] "):
        print("nothing was removed")
        return
    remove(chosen, found)
    print(f"removed from {chosen.place.address}: {', '.join(found)}")


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise LabError("rm without --yes, and nobody to ask", "a terminal, or --yes", "--yes")
    return input(question).strip().lower() in {"y", "yes"}


def columns() -> None:
    """Print every column of the three tables with its type and meaning, in Markdown."""
    print("\n\n".join(columns_table(table) for table in TABLES))


@program
def main() -> None:
    """Run the subcommand of the command line."""
    commands: dict[str, Callable[..., None]] = {
        "compact": compact_store, "check": check, "forget": forget_segment, "columns": columns,
        "import-log": import_log, "rm": remove_runs,
    }  # fmt: skip
    run_subcommand(commands, __doc__)


if __name__ == "__main__":
    main()
