"""Record the fingerprints of methods, after a version was raised or a method was added.

uv run python -m tests.support.record_fingerprints            # all, and the random streams
uv run python -m tests.support.record_fingerprints mine       # of methods/mine.py
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import torch

from tests.support.fingerprints import (
    ENCODERS,
    METHODS,
    RUNS,
    STREAMS,
    run_fingerprint,
    stream_fingerprints,
)
from tests.support.lab import PARAMS, write_params


def record(names: list[str]) -> None:
    """Write what the methods give now into the reference file."""
    torch.set_num_threads(1)  # as in the tests
    known = json.loads(RUNS.read_text()) if RUNS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LNL_ROOT"] = folder
        os.environ.pop("LNL_STORE", None)
        write_params(Path(folder), PARAMS | {"encoders": ENCODERS})
        known |= {name: run_fingerprint(name) for name in names}
    _write(RUNS, {name: known[name] for name in METHODS if name in known})


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"recorded in {path.name}: {', '.join(content)}")


if __name__ == "__main__":
    if not sys.argv[1:]:
        _write(STREAMS, stream_fingerprints())
    record(sys.argv[1:] or METHODS)
