"""Training throughput beside the conventional way, measured in turns in one run.

    uv run python benchmarks/training_step.py --network small-cnn
    uv run python benchmarks/training_step.py --network resnet18 --steps 8

Conventional: torchvision transforms on PIL images in DataLoader workers, contiguous float32
batches, a plain loop. Ours: the laboratory's own session and step, the logits of every sample
recorded. Both train the same network on the same 32-pixel images (random ones: speed does not
depend on content) with batch 128, cross entropy and SGD, and both use all cores. The printed ratio
is ours / conventional.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from methods.robust_loss import RobustLoss, RobustLossSettings
from pipeline.backbones import make_backbone
from pipeline.data.views import DeviceImages
from pipeline.training.batches import Labelled, batches_of_steps, steps_of_epoch
from pipeline.training.context import Context
from pipeline.training.loop import Progress, Session, _observe, _step
from pipeline.training.method import Problem
from pipeline.training.observers import Ledger
from pipeline.training.optimisation import make_optimizer
from pipeline.training.processes import Processes

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
BATCH, N_IMAGES = 128, 20_000


@dataclass(frozen=True)
class Flags:
    """Measure training throughput."""

    network: str = "small-cnn"
    """Backbone."""
    steps: int = 40
    """Steps per round."""
    rounds: int = 5
    """Rounds of each way, in turns; the median round counts."""
    workers: int = 2
    """Worker processes of the conventional way."""


class PilImages(Dataset):
    """Images as the usual code holds them: one at a time, through PIL."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def conventional(
    flags: Flags, images: np.ndarray, labels: np.ndarray, device: torch.device
) -> Iterator[None]:
    """The plain loop; yields after every step."""
    network = make_backbone(flags.network, 10, 3).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(
        PilImages(images, labels), BATCH, shuffle=True, num_workers=flags.workers,
        persistent_workers=True, pin_memory=device.type == "cuda", drop_last=True,
    )  # fmt: skip
    while True:
        for x, y in loader:
            loss = torch.nn.functional.cross_entropy(network(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def laboratory(
    flags: Flags, images: np.ndarray, labels: np.ndarray, processes: Processes
) -> Iterator[None]:
    """The laboratory's step; yields after every one."""
    settings = RobustLossSettings(
        loss="ce", backbone=flags.network, epochs=1, determinism="off", batch_size=BATCH,
        drop_last=True,
    )  # fmt: skip
    source = DeviceImages(images, MEAN, STD, processes.device, crop_padding=4, flip=True)
    y = torch.from_numpy(labels).to(processes.device)
    method = RobustLoss(settings, Problem(10, len(y), (32, 32, 3), MEAN, STD))
    method = method.to(processes.device, memory_format=torch.channels_last)
    train = Labelled(source, torch.arange(len(y), device=processes.device), y, y)
    context = Context("robust_loss", frozenset(), y, y, 10, 1, 0, lambda: torch.empty(0))
    session = Session(
        settings, processes, method, processes.connect(method),
        processes.connect_optimizer(make_optimizer(method, settings)),
        train, train, {}, None, context, Ledger(y, y, 10, processes), Progress(),
    )  # fmt: skip
    method.epoch_start(context)
    steps = steps_of_epoch(settings, 0, y, processes, with_partners=False)
    while True:
        for step, batch in zip(
            steps, batches_of_steps(steps, method, train, 0, 0, processes), strict=True
        ):
            output = _step(session, {"": step}, batch)
            _observe(session, output, {"": step}, session.progress.step)
            session.progress.step += 1
            yield


def images_per_second(steps: Iterator[None], n: int, device: torch.device) -> float:
    """Throughput over the next `n` steps."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(n):
        next(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return n * BATCH / (time.perf_counter() - began)


def main() -> None:
    """Measure in turns and print the medians and their ratio."""
    flags = tyro.cli(Flags, description=__doc__)
    stream = np.random.default_rng(0)
    images = stream.integers(0, 256, (N_IMAGES, 32, 32, 3), dtype=np.uint8)
    labels = stream.integers(0, 10, N_IMAGES)
    processes = Processes()
    ways = {
        "conventional": conventional(flags, images, labels, processes.device),
        "laboratory": laboratory(flags, images, labels, processes),
    }
    for steps in ways.values():
        images_per_second(steps, 3, processes.device)  # warm-up
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(flags.rounds):
        for name, steps in ways.items():
            speeds[name].append(images_per_second(steps, flags.steps, processes.device))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    for name, found in speeds.items():
        print(
            f"{name:13} {medians[name]:9.0f} images/s  (rounds {min(found):.0f}..{max(found):.0f})"
        )
    ratio = medians["laboratory"] / medians["conventional"]
    print(f"{flags.network} on {processes.kind}, {os.cpu_count()} cores: ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
