"""What cells should cost on a GPU where no past run resembles them: by steps on an H100."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from pipeline.backbones import make_backbone
from pipeline.runs.planned import PlannedRun
from pipeline.runs.pretraining import missing_encoders
from pipeline.runs.speed import training_operations

_STEPS = Path(__file__).with_name("gpu_steps.csv")
_SECONDS_PER_LAUNCH = 11.6e-3 / 445
"""A step of ResNet-18 at batch 128 waits for its launches."""
_OPERATIONS_PER_SECOND = {"fp32": 20e12, "tf32": 105e12, "bf16": 130e12}
"""What a step of ResNet-18 at batch 512 reaches, where the device is what it waits for."""


class _Step(NamedTuple):
    """A step of a method on ResNet-18, measured on an H100 (docs/gpu.md)."""

    work: float
    """Operations beside those of cross entropy."""
    launches: float
    """Kernels that the host starts."""


def gpu_seconds(cells: Iterable[PlannedRun]) -> float | None:
    """Seconds that cells and the encoders they lack would train on one H100.

    Args:
        cells: runs to come.

    Returns:
        The seconds, evaluation left out; None where a step of some method was never measured.
    """
    runs: dict[str, PlannedRun] = {}
    for cell in cells:
        made = missing_encoders(cell).items()
        runs |= {key: encoder.run for key, encoder in made if encoder.run is not None}
        runs[cell.key] = cell
    if any(run.method.name() not in _measured() for run in runs.values()):
        return None
    return sum(_seconds(run) for run in runs.values())


def _seconds(run: PlannedRun) -> float:
    settings, card = run.settings, run.inputs.dataset.card
    n_train = len(run.inputs.table.index) * (1 - settings.val_rate)
    n_steps = settings.epochs * math.ceil(n_train / settings.batch_size)
    height, width, channels = card.image_shape
    operations = training_operations(settings.backbone, card.n_classes, (channels, height, width))
    depth = _tensors(settings.backbone) / _tensors("resnet18")
    precision = "tf32" if settings.precision == "fp32" and settings.tf32 else settings.precision
    step = _step(run)
    return n_steps * max(
        step.launches * depth * _SECONDS_PER_LAUNCH,
        step.work * settings.batch_size * operations / _OPERATIONS_PER_SECOND[precision],
    )


def _step(run: PlannedRun) -> _Step:
    """The step measured for the method, with the option that it has on, if one was measured."""
    settings, measured = run.settings.model_dump(), _measured()[run.method.name()]
    for option, step in measured.items():
        if option and settings.get(option):
            return step
    return measured[""]


@cache
def _measured() -> dict[str, dict[str, _Step]]:
    steps: dict[str, dict[str, _Step]] = {}
    with _STEPS.open(newline="") as file:
        for row in csv.DictReader(file):
            step = _Step(float(row["work"]), float(row["launches"]))
            steps.setdefault(row["method"], {})[row["option"]] = step
    return steps


@cache
def _tensors(network: str) -> int:
    """Tensors of parameters of a network: launches grow with them."""
    with torch.device("meta"):
        return len(list(make_backbone(network, 10, 3).parameters()))
