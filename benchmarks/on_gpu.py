"""What one GPU does with the laboratory, measured within eight minutes.

    uv run python benchmarks/on_gpu.py --tiny                     # a try on a CPU, a minute
    uv run python benchmarks/on_gpu.py --cifar10 cifar-10-python.tar.gz --out gpu.json
    uv run python benchmarks/on_gpu.py --cifar10 cifar-10-python.tar.gz --only device methods

Sections: device (peak of matrix products and copies), inputs, methods (a step of every method
beside cross entropy's, with launches, waits and copies), throughput (images per second and share of
the device's bf16 peak), repeat (equal runs of one seed; stopped and resumed), real (ten epochs of
CIFAR-10 with 40 % wrong labels), loader (beside PIL images in DataLoader workers), evaluation,
sharing (several runs at once), embeddings (label diffusion, neighbours) and compiled. Each section
runs in a process of its own within a time of its own; what fails is a line of its table. The JSON
file is whole at any time.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from benchmarks.gpu.isolation import Row
    from benchmarks.gpu.laboratory import Size
    from benchmarks.gpu.report import Report
    from benchmarks.gpu.sections import Section

# Found without an installation, too. Asking for a GPU must not touch it before processes fork.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
os.environ.setdefault("KINETO_LOG_LEVEL", "5")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class Flags:
    """Measure the laboratory on one GPU."""

    cifar10: str | None = None
    """Folder or archive with CIFAR-10: the official archive, or train.parquet and test.parquet."""
    out: Path | None = None
    """JSON file for all figures."""
    folder: Path | None = None
    """Folder whose inputs a later call finds again; by default one that is removed."""
    only: tuple[str, ...] = ()
    """Sections to measure; by default all. Inputs are always made."""
    seconds: float = 480.0
    """For everything; what does not fit any more is said so."""
    tiny: bool = False
    """A try of everything on a CPU, with the handwritten digits and a small network."""
    start: Literal["fork", "spawn"] = "fork"
    """How the processes of sections start; spawn takes some seconds each."""


def main() -> None:
    """Measure section by section."""
    flags = tyro.cli(Flags, description=__doc__)
    began = time.monotonic()
    from benchmarks.gpu.laboratory import TINY, Size, open_laboratory

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not flags.tiny and flags.cifar10 is None:
        sys.exit("error: nothing to learn from; expected: --cifar10 FOLDER; try: --tiny")
    size = TINY if flags.tiny else Size()
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.folder or Path(temporary)
        open_laboratory(folder, size, None if flags.tiny else flags.cifar10)
        _measure(flags, size, began)


def _measure(flags: Flags, size: Size, began: float) -> None:
    from benchmarks.gpu.report import Report
    from benchmarks.gpu.sections import sections_of

    report, sections = Report(flags.out), sections_of(size)
    known = {section.name for section in sections}
    if unknown := set(flags.only) - known:
        sys.exit(f"error: sections {sorted(unknown)}; expected: {', '.join(sorted(known))}")
    report.note(imports_s=time.monotonic() - began)
    start = flags.start
    for section in sections:
        if flags.only and section.name not in {*flags.only, "inputs"}:
            continue
        rows = _rows(section, flags, size, began, start, report)
        if start == "fork" and any("fork" in row.get("error", "") for row in rows.values()):
            start = "spawn"  # the device was touched too early
            _rows(section, flags, size, began, start, report)
    report.note(whole_s=time.monotonic() - began)
    print(f"whole: {time.monotonic() - began:.0f} s", flush=True)


def _rows(
    section: Section, flags: Flags, size: Size, began: float, start: str, report: Report
) -> dict[str, Row]:
    """Measure a section, keep its rows and print them."""
    from benchmarks.gpu.isolation import NO_TIME, rows_of
    from benchmarks.gpu.report import table

    since = time.monotonic()
    rows: dict[str, Row] = {}
    seconds = min(section.seconds, began + flags.seconds - since)
    measure = partial(section.measure, size=size)
    for item, row in rows_of(section.items, measure, seconds, start):
        rows[item] = row
        report.keep(section.name, rows, time.monotonic() - since)
    section.relate(rows)
    took = time.monotonic() - since
    report.keep(section.name, rows, took)
    if all(row.get("error") == NO_TIME for row in rows.values()):
        print(f"== {section.name}: {NO_TIME}", flush=True)
    else:
        print(table(section.name, rows, took), flush=True)
    return rows


if __name__ == "__main__":
    main()
