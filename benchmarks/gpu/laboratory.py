"""A laboratory in a folder of its own, and runs in it that are cut short for measuring."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from accelerate.state import AcceleratorState, GradientState

from pipeline.config import Execution, read_params
from pipeline.runs.inputs.embedded import show_embeddings
from pipeline.runs.inputs.splits import Opener, Splits, make_splits
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import make_encoder
from pipeline.runs.session import open_session, problem_of
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import resolve_over_pinned
from pipeline.training.batches import Labelled
from pipeline.training.loop import Session
from pipeline.training.processes import Processes

ENCODER = "simclr-quick"
NOISE = "symmetric-40"
QUIET = Execution(tracking=False, checkpoint_seconds=86_400.0)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    dataset: str = "cifar10"
    network: str = "resnet18"
    networks: tuple[str, ...] = ("resnet18", "resnet34")
    batches: tuple[int, ...] = (128, 512)
    batch: int = 128
    """Of what is measured at one batch size."""
    images: int = 2560
    """Training images of a short epoch."""
    tests: int = 512
    """Test images of a short epoch."""
    warm: int = 8
    """Steps before a measurement."""
    most_steps: int = 200
    timed_seconds: float = 1.0
    workers: int = 8
    """Of the conventional loader."""
    per_class: int = 256
    """Training samples of a class in whole runs that are repeated."""
    epochs: int = 10
    """Of the run whose accuracy is reported."""
    matrix: int = 8192
    neighbours: tuple[tuple[int, int, int], ...] = (
        (50_000, 2_048, 50_000),
        (1_000_000, 768, 65_536),
    )
    """Rows and features of a bank, and most queries."""
    compiled: tuple[str, ...] = ("bf16 compile", "bf16 graphs")
    """Ways of a compiled network."""


TINY = Size(
    dataset="digits", network="small-cnn", networks=("small-cnn",), batches=(32,), batch=32,
    images=160, tests=64, warm=1, most_steps=2, timed_seconds=0.1, workers=1, per_class=13,
    epochs=2, matrix=256, neighbours=((500, 32, 500), (2_000, 16, 64)), compiled=("bf16 compile",),
)  # fmt: skip
"""What a CPU does in a minute."""


def open_laboratory(folder: Path, size: Size, cifar10: str | None) -> None:
    """Write params.yaml of a new laboratory and make it that of this program.

    Args:
        folder: empty, or with the inputs of an earlier one.
        size: names the data set.
        cifar10: folder or archive with CIFAR-10, if it is measured on.
    """
    root = {} if cifar10 is None else {"root": str(Path(cifar10).resolve())}
    params = {
        "datasets": {size.dataset: {"kind": size.dataset} | root},
        "noise": {NOISE: {"kind": "symmetric", "rate": 0.4}},
        "encoders": {
            ENCODER: {
                "kind": "run", "method": "simclr", "dataset": size.dataset, "noise": "clean",
                "seed": 0, "backbone": "small-cnn", "epochs": 1,
                "batch_size": 512, "optimizer": "adam", "lr": 0.001,
            }
        },
        "run": {"dataset": size.dataset, "noise": NOISE, "recipe": "pocket"},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    os.environ["LNL_ROOT"] = str(folder.resolve())
    os.environ["LNL_SHARED"] = str(folder.resolve() / "shared")
    os.environ["LNL_STORE"] = str(folder.resolve() / "store")


def use_store(name: str) -> None:
    """Let this process keep its results in a new store; encoders are those of the laboratory."""
    folder = Path(os.environ["LNL_ROOT"]) / "stores" / f"{time.time_ns()}-{name}"
    os.environ["LNL_STORE"] = str(folder)


def processes_in(precision: str) -> Processes:
    """The processes of this program in a precision, whatever came before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    return Processes(precision)


def planned_run(method: str, **settings: Any) -> PlannedRun:
    """A run of the laboratory with some settings; what it learns from is made if it is missing."""
    planner, params, loaded = _planner(), read_params(), load_method(method)
    if "encoder" in loaded.Settings.model_fields and loaded.Settings().encoder is not None:
        settings = {"encoder": ENCODER} | settings
    resolved = resolve_over_pinned(loaded, params, settings)
    return planner.run(loaded, resolved)


@cache
def _planner() -> Planner:
    """One for all runs of a process: what they learn from is checked and opened once."""
    return Planner(read_params())


def session_of(
    planned: PlannedRun,
    processes: Processes,
    execution: Execution = QUIET,
    n_train: int | None = None,
    n_test: int | None = None,
) -> Session:
    """What the loop works with in a run, as the run itself builds it.

    Args:
        planned: the run.
        processes: to train on.
        execution: how.
        n_train: training images that are kept; None for all.
        n_test: test images that are kept; None for all.
    """
    for encoder in planned.inputs.encoders.values():
        make_encoder(encoder, execution, processes)
    inputs, settings = planned.inputs, planned.settings
    opener = Opener(inputs.dataset, inputs.table, settings, execution, processes.device)
    splits = make_splits(inputs.dataset, inputs.table, settings, opener, processes.device)
    splits = _fewer(splits, n_train, n_test)
    problem = problem_of(planned, splits, processes)
    session = open_session(planned.method, settings, execution, processes, problem, splits)
    if problem.encoder is not None:
        show_embeddings(session, opener, problem.encoder)
    return session


def _fewer(splits: Splits, n_train: int | None, n_test: int | None) -> Splits:
    return replace(splits, train=_first(splits.train, n_train), test=_first(splits.test, n_test))


def _first(data: Any, n: int | None) -> Any:
    """The first samples of a split."""
    assert isinstance(data, Labelled)
    parts = {name: getattr(data, name) for name in ("index", "y_noisy", "y_clean")}
    return replace(data, **{k: None if part is None else part[:n] for k, part in parts.items()})
