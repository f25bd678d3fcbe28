"""Evaluation of a network on a CPU: batches that are taken apart beside whole ones, in turns.

    uv run python benchmarks/evaluation.py
    uv run python benchmarks/evaluation.py --networks small-cnn --sides 8 28 32

Each pair of readings predicts the same random images (speed does not depend on content) with the
laboratory's own evaluation, once as it takes batches apart and once whole. The smallest of the
readings counts, in CPU time, which other programs on the machine disturb least. The predictions are
compared bit for bit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import tyro
from torch import Tensor, nn

from pipeline.backbones import make_backbone
from pipeline.training.evaluation import BATCH, in_parts, parts_of

_FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


@dataclass(frozen=True)
class Flags:
    """Measure evaluation."""

    networks: tuple[str, ...] = ("resnet18", "small-cnn", "lenet")
    """Backbones."""
    sides: tuple[int, ...] = (32,)
    """Heights of images in pixels."""
    images: int = BATCH
    """Images of the batch."""
    readings: int = 3
    """Of each way."""


def seconds_of(network: nn.Module, x: Tensor, whole: bool) -> tuple[float, Tensor]:
    """CPU seconds of one prediction of a batch, and its logits."""
    began = time.process_time()
    with torch.no_grad():
        logits = in_parts(network, parts_of((x,), whole))
    return time.process_time() - began, logits


def row(flags: Flags, name: str, side: int, order: str) -> str:
    """What one network needs for an image, whole and in parts."""
    torch.manual_seed(0)
    network = make_backbone(name, 10, 3).eval().to(memory_format=torch.channels_last)
    x = torch.randn(flags.images, 3, side, side).contiguous(memory_format=_FORMATS[order])
    readings: dict[bool, list[float]] = {True: [], False: []}
    logits = {}
    for _ in range(flags.readings):
        for whole, seconds in readings.items():
            taken, logits[whole] = seconds_of(network, x, whole)
            seconds.append(taken)
    whole_us, parts_us = (1e6 * min(seconds) / flags.images for seconds in readings.values())
    bits = "equal" if logits[True].equal(logits[False]) else "OTHER"
    times = f"{whole_us:9.0f} {parts_us:9.0f} {whole_us / parts_us:6.2f}"
    return f"{name:12} {side:4} {order:14} {times}   {bits}"


def main() -> None:
    """Print one row for each network, size and memory order."""
    flags = tyro.cli(Flags, description=__doc__)
    print(f"{'network':12} side memory order   whole us  parts us  ratio   bits")
    for name in flags.networks:
        for side in flags.sides:
            for order in _FORMATS:
                print(row(flags, name, side, order), flush=True)
    print(f"CPU time of an image in a batch of {flags.images}; threads: {torch.get_num_threads()}")


if __name__ == "__main__":
    main()
