"""What rests on features: sampling of label diffusion, and exact neighbours in large banks."""

from __future__ import annotations

import torch

from benchmarks.gpu.device import device, seconds_of, synchronised
from benchmarks.gpu.isolation import Row
from benchmarks.gpu.laboratory import Size, planned_run, processes_in, session_of
from pipeline.encoders.neighbours import NeighbourSearch
from pipeline.training.evaluation import predictions

_K = 10
_FIRST = 1024
_SECONDS = 8.0


def items_of(size: Size) -> list[str]:
    """Sampling in two precisions, and banks."""
    banks = [f"neighbours {n} x {d}" for n, d, _ in size.neighbours]
    return ["sampling fp32", "sampling bf16", *banks]


def resting_on_features(item: str, size: Size) -> Row:
    """Measure one of `items_of`."""
    kind, *rest = item.split()
    return _sampling(rest[0], size) if kind == "sampling" else _neighbours(item, size)


def _sampling(precision: str, size: Size) -> Row:
    """Predictions of label diffusion a second, image encoder and ten steps of the sampler."""
    planned = planned_run(
        "lra_diffusion", backbone=size.network, batch_size=size.batch, epochs=1, optimizer="adam",
        lr=1e-3, precision=precision, determinism="off",
    )  # fmt: skip
    session = session_of(planned, processes_in(precision), n_train=size.images)
    session.method.start(session.context)
    test, where = session.test, session.processes.device

    def once() -> object:
        return predictions(session.method, test.images, test.index, session.processes)

    seconds = seconds_of(once, where)
    return {"samples": len(test.index), "samples_per_s": len(test.index) / seconds}


def _neighbours(item: str, size: Size) -> Row:
    """Ten nearest rows of as many queries as fit some seconds."""
    n, n_features, most = next(
        bank for bank in size.neighbours if f"neighbours {bank[0]} x {bank[1]}" == item
    )
    where = device()
    draws = torch.Generator(where).manual_seed(0)
    dtype = torch.float16 if n > 100_000 else torch.float32
    bank = torch.cat([
        torch.nn.functional.normalize(
            torch.randn(min(50_000, n - at), n_features, generator=draws, device=where), dim=1
        ).to(dtype)
        for at in range(0, n, 50_000)
    ])  # fmt: skip
    search = NeighbourSearch(bank, _K)
    first = min(_FIRST, most)
    per_query = seconds_of(lambda: search.nearest(bank[:first]), where) / first
    n_queries = max(first, min(most, int(_SECONDS / per_query)))
    began = synchronised(where)
    search.nearest(bank[:n_queries])
    seconds = synchronised(where) - began
    return {
        "queries": n_queries,
        "search_s": seconds,
        "queries_per_s": n_queries / seconds,
        "all_rows_s": seconds * n / n_queries,
        "tflops": 2 * n * n_features * n_queries / seconds / 1e12,
    }
