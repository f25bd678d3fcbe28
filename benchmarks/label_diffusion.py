"""What label diffusion costs beside cross entropy, and predicting beside the straightforward way.

    uv run python benchmarks/label_diffusion.py
    uv run python benchmarks/label_diffusion.py --network small-cnn --n-features 64 --images 8000

Epochs: the laboratory's own loop trains the same network on the same 32-pixel images (random ones:
speed does not depend on content), once by cross entropy and once inside label diffusion with cached
embeddings. Predictions: the image encoder once per image and the head in each of ten steps, beside
a sampler that takes the whole network in each step. Ways are measured in turns in one run; printed
are medians and ratios.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
import tyro
from torch import Tensor

from methods.lra_diffusion import LraDiffusion, LraDiffusionSettings
from methods.robust_loss import RobustLoss, RobustLossSettings
from pipeline.config import RunSettings
from pipeline.data.views import DeviceImages
from pipeline.diffusion.process import class_probabilities, ddim_sample
from pipeline.encoders.embeddings import WithEmbeddings
from pipeline.encoders.encoder import Encoder
from pipeline.training.batches import Labelled
from pipeline.training.context import Context
from pipeline.training.loop import Progress, Session, _train_epoch
from pipeline.training.method import Method, Problem
from pipeline.training.observers import Ledger
from pipeline.training.optimisation import make_optimizer
from pipeline.training.processes import Processes
from pipeline.training.stopping import StopRequest

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True)
class Flags:
    """Measure label diffusion."""

    network: str = "resnet18"
    """Backbone of both ways."""
    images: int = 800
    """Images of an epoch."""
    batch_size: int = 200
    """Images of a step."""
    n_features: int = 2048
    """Length of the embeddings."""
    width: int = 512
    """Length of the image features."""
    predicted: int = 64
    """Images that are predicted."""
    rounds: int = 3
    """Rounds of each way, in turns; the median round counts."""


def main() -> None:
    """Measure in turns and print medians and ratios."""
    flags = tyro.cli(Flags, description=__doc__)
    processes = Processes()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LNL_ROOT"] = folder  # the table of neighbours is not to be kept
        plain = session_of(
            flags, processes, RobustLoss, common(flags, RobustLossSettings, loss="ce")
        )
        settings = common(flags, LraDiffusionSettings, width=flags.width)
        diffusion = session_of(flags, processes, LraDiffusion, settings)
        epochs = {
            "cross entropy": lambda: epoch(plain),
            "label diffusion": lambda: epoch(diffusion),
        }
        method = cast("LraDiffusion", diffusion.method)
        x, f_p = next(diffusion.train.images.batches(
            [diffusion.train.index[: flags.predicted]], ("plain", "embedding"), (0, 0)
        ))  # fmt: skip
        method.eval()
        with torch.no_grad():
            difference = (method.predict(x, f_p) - straightforward(method, x, f_p)).abs().max()
        predictions = {
            "whole network": lambda: straightforward(method, x, f_p),
            "head per step": torch.no_grad()(lambda: method.predict(x, f_p)),
        }
        print(f"{flags.network} on {processes.kind}, {os.cpu_count()} cores")
        compare("epoch", epochs, flags.rounds)
        method.eval()
        compare("prediction", predictions, flags.rounds)
        print(f"largest difference of the predictions: {float(difference):.1e}")


def common(flags: Flags, kind: type[RunSettings], **own: Any) -> RunSettings:
    """Settings of both ways."""
    return kind(
        backbone=flags.network, epochs=1, batch_size=flags.batch_size, optimizer="adam", lr=1e-3,
        weight_decay=0.0, clip_norm=1.0, determinism="off", drop_last=True, **own,
    )  # fmt: skip


def session_of(
    flags: Flags, processes: Processes, method_class: type[Method], settings: RunSettings
) -> Session:
    """A run on random images, labels and embeddings."""
    stream = np.random.default_rng(0)
    images = stream.integers(0, 256, (flags.images, 32, 32, 3), dtype=np.uint8)
    table = stream.standard_normal((flags.images, flags.n_features), dtype=np.float32)
    y = torch.from_numpy(stream.integers(0, 10, flags.images)).to(processes.device)
    source = WithEmbeddings(
        DeviceImages(images, MEAN, STD, processes.device, crop_padding=4, flip=True),
        table,
        processes.device,
    )
    # Embeddings are cached: nobody asks the encoder, but for the length of its features.
    card = SimpleNamespace(n_features=flags.n_features)
    unasked = cast("Encoder", SimpleNamespace(card=card))
    problem = Problem(10, flags.images, (32, 32, 3), MEAN, STD, encoder=unasked)
    method = method_class(settings, problem)
    method = method.to(processes.device, memory_format=torch.channels_last)
    train = Labelled(source, torch.arange(flags.images, device=processes.device), y, y)
    bank = torch.from_numpy(table).to(processes.device)
    context = Context(
        method_class.name(), frozenset(), y, y, 10, 1, 0, predict_pass=lambda *_: bank
    )
    session = Session(
        settings=settings, processes=processes, method=method, trained=processes.connect(method),
        optimizer=processes.connect_optimizer(make_optimizer(method, settings)), train=train,
        test=train, other_tests={}, validation=None, context=context,
        ledger=Ledger(y, y, 10, processes), progress=Progress(),
    )  # fmt: skip
    method.start(context)
    method.epoch_start(context)
    return session


def epoch(session: Session) -> None:
    """Train one epoch, without its evaluation."""
    session.method.train()
    session.progress = Progress()
    _train_epoch(session, cast("StopRequest", SimpleNamespace(save_now=lambda _: False)))


@torch.no_grad()
def straightforward(method: LraDiffusion, x: Tensor, f_p: Tensor) -> Tensor:
    """Predict with a sampler that knows nothing of what the network does with an image."""
    y = ddim_sample(
        lambda y, t: method.head(method.image_encoder(x), y, t, f_p),
        method.schedule, method.settings.ddim_steps, torch.zeros(len(x), 10, device=x.device),
    )  # fmt: skip
    return class_probabilities(y)


def compare(what: str, ways: dict[str, Callable[[], Any]], n_rounds: int) -> None:
    """Time ways in turns; print medians and the ratio of the second to the first."""
    for way in ways.values():
        way()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(n_rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - began)
    first, second = (statistics.median(found) for found in seconds.values())
    for name, found in seconds.items():
        print(f"{what:10} {name:16} {statistics.median(found):8.3f} s  "
              f"(rounds {min(found):.3f}..{max(found):.3f})")  # fmt: skip
    print(f"{what:10} ratio {second / first:.2f}")


if __name__ == "__main__":
    main()
