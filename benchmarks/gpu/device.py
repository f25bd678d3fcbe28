"""What the device is, what it is said to do at most, and what it does."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import torch

from benchmarks.gpu.isolation import Row
from benchmarks.gpu.laboratory import Size
from pipeline.runs.speed import nominal_peak


def device() -> torch.device:
    """The device that is measured."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name_of(where: torch.device) -> str:
    """Name of a device."""
    return torch.cuda.get_device_name(where) if where.type == "cuda" else platform.machine()


def synchronised(where: torch.device) -> float:
    """The time once the device has done all it was asked."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)
    return time.perf_counter()


def seconds_of(work: Callable[[], object], where: torch.device, times: int = 1) -> float:
    """Seconds of some work, on average, after it was done once."""
    work()
    began = synchronised(where)
    for _ in range(times):
        work()
    return (synchronised(where) - began) / times


def what_it_is(item: str, size: Size) -> Row:
    """Name, memory, measured bf16 matrix product and measured copy."""
    del item
    where, n = device(), size.matrix
    row: Row = {"name": name_of(where), "torch": torch.__version__}
    if where.type == "cuda":
        facts = torch.cuda.get_device_properties(where)
        row |= {"memory_gib": facts.total_memory / 2**30, "sms": facts.multi_processor_count,
                "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    a, b = (torch.randn(n, n, device=where, dtype=torch.bfloat16) for _ in range(2))
    product = 2 * n**3 / seconds_of(lambda: a @ b, where, 50 if n > 1000 else 1)
    source = torch.empty(2**30 if where.type == "cuda" else 2**22, dtype=torch.uint8, device=where)
    target = torch.empty_like(source)
    copied = 2 * len(source) / seconds_of(lambda: target.copy_(source), where, 10)
    peak = nominal_peak(row["name"])
    return row | {
        "peak_tflops": peak and peak / 1e12,
        "matmul_tflops": product / 1e12,
        "copy_gb_per_s": copied / 1e9,
    }
