"""Several runs on one GPU at once: what they do together."""

from __future__ import annotations

import multiprocessing
import queue
from typing import Any

from benchmarks.gpu.isolation import Row, where_and_why
from benchmarks.gpu.laboratory import Size
from benchmarks.gpu.stopwatch import seconds_per_step
from benchmarks.gpu.throughput import Way, trained

_SECONDS = 60.0


def items_of(size: Size) -> list[str]:
    """How many processes train which network."""
    few = [f"{n} x {size.network}" for n in (1, 2, 3, 4)]
    return [*few, "1 x small-cnn", "8 x small-cnn"] if size.dataset == "cifar10" else few[:2]


def shared(item: str, size: Size) -> Row:
    """Images per second of several processes together, of each a step in bf16."""
    number, network = item.split(" x ")
    n, context = int(number), multiprocessing.get_context("fork")
    ready, answers = context.Barrier(n), context.Queue()
    workers = [
        context.Process(target=_train, args=(network, size, ready, answers), daemon=True)
        for _ in range(n)
    ]
    for worker in workers:
        worker.start()
    found: list[float] = []
    try:
        for _ in workers:
            answer = answers.get(timeout=_SECONDS)
            if isinstance(answer, str):
                return {"error": answer}
            found.append(answer)
    except queue.Empty:
        return {"error": f"no answer within {_SECONDS:g} s"}
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    return {"images_per_s": sum(found), "slowest": min(found), "fastest": max(found)}


def _train(network: str, size: Size, ready: Any, answers: Any) -> None:
    """Measure in one of several processes, once all of them are warm."""
    try:
        warm = trained(Way(), size, network, size.batch)
        seconds_per_step(warm, size.warm, 1, 0.0)
        session = trained(Way(), size, network, size.batch)
        ready.wait(_SECONDS)
        seconds = seconds_per_step(session, size.warm, 10_000, 3 * size.timed_seconds)
        answers.put(size.batch / seconds)
    except Exception as failure:
        ready.abort()
        answers.put(where_and_why(failure))


def beside_one(rows: dict[str, Row]) -> None:
    """Add how many times as much as one process several do."""
    for item, row in rows.items():
        alone = rows.get(f"1 x {item.split(' x ')[1]}", {}).get("images_per_s")
        if alone and "images_per_s" in row:
            row["ratio"] = row["images_per_s"] / alone
