"""Numbers that may move only with a version: those of whole tiny runs, and all integer draws.

Two epochs on the handwritten digits with everything that draws: validation split, order, crop,
flip, averaged weights, and the views and predictions that a method asks for by itself.
"""

from types import SimpleNamespace

import numpy as np
import torch

from pipeline.config import RunSettings
from pipeline.data.randomness import sample_uniforms
from pipeline.data.views import DeviceImages
from pipeline.errors import LabError
from pipeline.files import methods_folder
from pipeline.identity import SCHEMA_VERSION, array_digest, seed_stream
from pipeline.runs.inputs.samples import choose_samples
from pipeline.runs.settings.methods import load_method
from pipeline.training.batches import (
    TrainSamples,
    batches_of_steps,
    epoch_samples,
    steps_of_epoch,
)
from pipeline.training.method import Method
from pipeline.training.processes import Processes
from tests.support.paths import REFERENCES
from tests.support.runs import numbers, run
from tests.support.tiny_encoder import ENTRY

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
RUNS = REFERENCES / "run_fingerprints.json"
STREAMS = REFERENCES / "stream_fingerprints.json"

TINY = {
    "backbone": "small-cnn", "epochs": 2, "batch_size": 128, "val_rate": 0.2, "seed": 3,
    "crop_padding": 1, "flip": True,
}  # fmt: skip
OPTIMIZERS = {"sgd": 0.001, "adam": 0.0001}
"""With learning rates at which rounding does not grow: adam divides even tiny gradients by their
size."""
ENCODERS = {"simclr-digits": ENTRY | {"optimizer": "sgd", "lr": 0.001}}
LOSSES = ("train_loss", "test_loss", "averaged_test_loss")
SEED, EPOCH, N = 3, 2, 97
Y = torch.arange(N) % 4


def command(name: str = "") -> str:
    """What records fingerprints."""
    return f"uv run python -m tests.support.record_fingerprints {name}".rstrip()


def run_fingerprint(name: str) -> dict:
    """Versions and losses of a tiny run of a method, in the laboratory folder that is set."""
    version = load_method(name).VERSION
    losses = {optimizer: _losses(name, optimizer) for optimizer in OPTIMIZERS}
    return {"version": version, "schema": SCHEMA_VERSION, "losses": losses}


def _losses(name: str, optimizer: str) -> dict[str, list[float]]:
    settings = TINY | {"optimizer": optimizer, "lr": OPTIMIZERS[optimizer]}
    try:
        key = run(name, **settings, averaging=0.9).key
    except LabError:  # a method may refuse averaged weights
        key = run(name, **settings).key
    epochs, _ = numbers(key)
    return {column: epochs[column].drop_nulls().to_list() for column in LOSSES}


def stream_fingerprints() -> dict[str, str]:
    """Digests of integers that are drawn, by the stream that they are drawn from."""
    root = {name: seed_stream(SEED, name) for name in ("split", "init", "order", "augment")}
    found = {f"seed of {name}": _digest([seed]) for name, seed in root.items()}
    found["seed of method"] = _digest([seed_stream(SEED, "method", "own", EPOCH)])
    found["uniforms"] = _digest((sample_uniforms(SEED, torch.arange(N), 3) * 2**24).long())
    return found | _samples() | _views()


def _digest(values) -> str:
    return array_digest(np.asarray(values, dtype=np.int64))


def _samples() -> dict[str, str]:
    table = SimpleNamespace(index=np.arange(N), y_noisy=Y.numpy())
    split = RunSettings(seed=SEED, val_rate=0.3)
    held_out, kept = choose_samples(table, split)
    fewer = choose_samples(table, split.model_copy(update={"down_sample": True}))[1]
    settings = RunSettings(seed=SEED, batch_size=16)
    balanced = RunSettings(seed=SEED, sampling="balanced", per_class=20)
    steps = steps_of_epoch(settings, EPOCH, Y, Processes(), with_partners=True)
    return {
        "split": _digest(np.concatenate([held_out, kept])),
        "down-sample": _digest(fewer),
        "order": _digest(epoch_samples(settings, EPOCH, Y)),
        "order of a balanced epoch": _digest(epoch_samples(balanced, EPOCH, Y)),
        "partners": _digest(torch.cat([step.partners for step in steps], dim=1)),
    }


def _views() -> dict[str, str]:
    """Crops and flips: pixels that are numbered say where each of them went."""
    pixels = np.arange(1, 65, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(N, axis=0)
    images = DeviceImages(pixels, (0.0,), (1 / 255,), torch.device("cpu"), 2, flip=True)
    train = TrainSamples(images, torch.arange(N), Y, Y)
    method, processes = Method(), Processes()
    method.views, method.partner_views = ("weak", "weak"), ("weak",)
    settings = RunSettings(seed=SEED, batch_size=16)
    steps = steps_of_epoch(settings, EPOCH, Y, processes, with_partners=True)
    batches = list(batches_of_steps(steps, method, train, SEED, EPOCH, processes))
    parts = {
        "first view": [batch.views[0] for batch in batches],
        "second view": [batch.views[1] for batch in batches],
        "view of partners": [batch.partners.views[0] for batch in batches],
    }
    return {name: _digest(torch.cat(views).round()) for name, views in parts.items()}
