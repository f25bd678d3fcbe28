"""A process that fills a store until it is killed; it prints each key once the run is finished.

    results_writer.py STORE FIRST_SEED [write | again | compact]

`write` computes new runs and merges them now and then, `again` computes the same few runs over and
over (it prints `key=number`, and the number is that of every row), `compact` merges all the time.
"""

from __future__ import annotations

import sys
import time
from itertools import count

from pipeline.results.store import Store
from pipeline.results.upkeep.compaction import compact
from tests.support.results_builder import add_run, run_row

SAME = (10**6, 10**6 + 1, 10**6 + 2)
RUN_SECONDS = 0.1
"""A run takes longer than a compaction takes to find that its file is still the same."""


def write(store: Store, seed: int) -> None:
    """New runs."""
    for number in count(seed + 1):
        store.write_run(run_row(seed=number, status="running"))
        print(add_run(store, seed=number), flush=True)
        if number % 4 == 0:
            compact(store)


def again(store: Store, seed: int) -> None:
    """The same runs with rising numbers in their rows."""
    for number in count(seed + 1):
        for which in SAME:
            store.write_run(run_row(seed=which, status="running"))
            time.sleep(RUN_SECONDS)
            key = add_run(
                store,
                seed=which,
                seconds=float(number),
                curves={"seconds": [float(number)] * 3},
            )
            print(f"{key}={number}", flush=True)


def merge(store: Store, seed: int) -> None:
    """Compactions only."""
    while True:
        compact(store)
        print("merged", flush=True)


if __name__ == "__main__":
    role = {"write": write, "again": again, "compact": merge}[(*sys.argv, "write")[3]]
    print("ready", flush=True)
    role(Store(sys.argv[1]), int(sys.argv[2]))
