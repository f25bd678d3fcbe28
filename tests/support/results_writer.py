"""A process that fills a store until it is killed; it prints each key once the run is finished."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from pipeline.errors import LabError
from pipeline.results.compaction import compact
from pipeline.results.store import Store
from tests.support.results_builder import add_run, run_row

if __name__ == "__main__":
    store, seed = Store(Path(sys.argv[1])), int(sys.argv[2])
    print("ready", flush=True)
    while True:
        seed += 1
        store.write_run(run_row(seed=seed, status="running"))
        print(add_run(store, seed=seed), flush=True)
        if seed % 4 == 0:
            with suppress(LabError):  # another writer compacts at this moment
                compact(store)
