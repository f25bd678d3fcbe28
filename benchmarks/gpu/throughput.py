"""Images per second of the product's own training step, and its share of what the device can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from benchmarks.gpu.device import device, name_of, seconds_of
from benchmarks.gpu.isolation import Row
from benchmarks.gpu.laboratory import QUIET, Size, planned_run, processes_in, session_of
from benchmarks.gpu.stopwatch import seconds_per_step
from pipeline.config import Compile
from pipeline.runs.speed import nominal_peak, training_operations
from pipeline.training.evaluation import evaluate
from pipeline.training.loop import Session


class Way(NamedTuple):
    """How a network is trained."""

    precision: str = "bf16"
    determinism: str = "off"
    channels_last: bool = True
    tf32: bool = False
    compiled: Compile = "off"


EAGER = {
    "bf16": Way(),
    "fp32": Way("fp32"),
    "fp32 deterministic": Way("fp32", "error"),
    "bf16 deterministic": Way(determinism="error"),
    "tf32": Way("fp32", tf32=True),
    "bf16 contiguous": Way(channels_last=False),
}
"""`fp32 deterministic` is what a run does without flags."""
COMPILED = {
    "bf16 compile": Way(compiled="default"),
    "bf16 graphs": Way(compiled="reduce-overhead"),
}
WAYS = EAGER | COMPILED


def items_of(size: Size, ways: Iterable[str]) -> list[str]:
    """Network, batch and way of what is measured, the first network first."""
    return [f"{network} {batch} {way}" for network in size.networks for batch in size.batches
            for way in ways]  # fmt: skip


def throughput(item: str, size: Size) -> Row:
    """Measure the step of one network at one batch in one way."""
    network, batch, way = item.split(" ", 2)
    session = trained(WAYS[way], size, network, int(batch))
    seconds = seconds_per_step(session, size.warm, size.most_steps, size.timed_seconds)
    return speed(session, network, int(batch) / seconds)


def trained(way: Way, size: Size, network: str, batch: int, **settings: Any) -> Session:
    """A run of cross entropy in one way."""
    usual: dict[str, Any] = {"loss": "ce", "optimizer": "sgd", "lr": 0.02, "drop_last": True}
    planned = planned_run(
        "robust_loss", backbone=network, batch_size=batch, epochs=1, precision=way.precision,
        determinism=way.determinism, tf32=way.tf32, **(usual | settings),
    )  # fmt: skip
    how = {"channels_last": way.channels_last, "compile": way.compiled}
    execution = QUIET.model_copy(update=how)
    return session_of(planned, processes_in(way.precision), execution, n_test=size.tests)


def speed(session: Session, network: str, images_per_s: float) -> Row:
    """Images per second with what follows from them."""
    problem = session.train.images
    shape = next(iter(problem.batches([session.train.index[:2]], ("plain",), (0,))))[0].shape[1:]
    flops = training_operations(network, session.context.n_classes, tuple(shape))
    where = session.processes.device
    row: Row = {"images_per_s": images_per_s, "tflops": images_per_s * flops / 1e12}
    if (peak := nominal_peak(name_of(where))) is not None:
        row["share_of_peak"] = images_per_s * flops / peak
    if where.type == "cuda":
        row["memory_gib"] = torch.cuda.max_memory_allocated(where) / 2**30
        torch.cuda.reset_peak_memory_stats(where)
    return row


def evaluation(item: str, size: Size) -> Row:
    """Images per second of evaluating the test split, in a precision."""
    session = trained(Way(item), size, size.network, size.batch)
    whole = session_test(session)
    labels = {"clean": whole[1]}

    def once() -> object:
        return evaluate(session.method, session.test.images, whole[0], labels, session.processes)

    seconds = seconds_of(once, session.processes.device, 3)
    return {"images": len(whole[0]), "images_per_s": len(whole[0]) / seconds}


def session_test(session: Session) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of all test images, and labels for them; what they are costs the same."""
    n = len(session.test.images)
    index = torch.arange(n, device=session.processes.device)
    return index, index % session.context.n_classes


def loader(item: str, size: Size) -> Row:
    """Images per second of PIL images in DataLoader workers, and of the product's own step."""
    if item != "PIL loader":
        batch = 128 if size.dataset == "cifar10" else size.batch
        session = trained(WAYS[item], size, size.network, batch)
        seconds = seconds_per_step(session, size.warm, size.most_steps, size.timed_seconds)
        return {"images_per_s": batch / seconds}
    # Imported here because torchvision takes seconds.
    from benchmarks.training_step import Flags, conventional, images_per_second

    where, n = device(), 20_000 if size.dataset == "cifar10" else 300
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n, 32, 32, 3), dtype=torch.uint8, generator=draws).numpy()
    labels = torch.randint(10, (n,), generator=draws).numpy()
    flags = Flags(network=size.network, workers=size.workers)
    steps = conventional(flags, images, labels, where)
    images_per_second(steps, 2 * size.workers, where)
    return {"images_per_s": images_per_second(steps, 100 if n > 1000 else 1, where)}


def beside_loader(rows: dict[str, Row]) -> None:
    """Add how many times as fast as the conventional loop each way is."""
    usual = rows.get("PIL loader", {}).get("images_per_s")
    for row in rows.values():
        if usual and "images_per_s" in row:
            row["ratio"] = row["images_per_s"] / usual
