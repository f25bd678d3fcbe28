"""DVC stage `encoder`: make one encoder, or bring it in; its features of a data set as a file.

uv run python -m pipeline.stages.encoder simclr-digits
uv run python -m pipeline.stages.encoder simclr-digits --dataset digits --features features.npy
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from pipeline.command_line import read_flags
from pipeline.config import Execution, RunSettings, read_params
from pipeline.data.dataset import Dataset
from pipeline.encoders.artefact import load_encoder
from pipeline.encoders.embeddings import embeddings
from pipeline.encoders.encoder import Encoder
from pipeline.encoders.encoder_spec import encoder_spec
from pipeline.errors import LabError, program
from pipeline.files import replacing
from pipeline.noise.generate import make
from pipeline.noise.noise_spec import Clean
from pipeline.runs.inputs.shelf import Shelf
from pipeline.runs.inputs.splits import Opener
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import make_encoder
from pipeline.runs.telling import Lines
from pipeline.training.processes import Processes


@dataclass(frozen=True)
class Flags:
    """Make an encoder."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the entry in the encoders block of params.yaml, which names all it needs."""
    tracking: bool = True
    """Show its run in MLflow."""
    features: Path | None = None
    """Also write its features of the training images of --dataset into this .npy file, [N, D]."""
    dataset: str | None = None
    """Name of that data set."""
    params: Path | None = None
    """Another file in the form of params.yaml."""


def write_features(encoder: Encoder, dataset: Dataset, path: Path, device: torch.device) -> None:
    """Write the features of all training images, in their order; those in the cache are taken.

    Args:
        encoder: with a network.
        dataset: whose images, as their files or pixels are without augmentation.
        path: .npy file to make or to replace, float32 [N, D].
        device: where to compute what is not in the cache.

    Raises:
        LabError: for an encoder without a network, or another name of the file.
    """
    if not encoder.card.has_network or path.suffix != ".npy":
        raise LabError(
            f"features of {encoder.card.name} in {path.name}",
            "an encoder with a network, and a name that ends in .npy",
            "--features features.npy",
        )
    table = make(dataset, "clean", Clean())
    opener = Opener(dataset, table, RunSettings(), Execution(), device)
    rows = embeddings(
        encoder, partial(opener.pixels, "train"), opener.size("train"), opener.digest("train"),
        "train", "float32", device,
    )  # fmt: skip
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, rows)


@program
def main() -> None:
    """Make the encoder and print what it is."""
    flags = read_flags(Flags, __doc__)
    params = read_params(flags.params)
    if (flags.features is None) != (flags.dataset is None):
        raise LabError(
            "one of --features and --dataset", "both", "--dataset digits --features features.npy"
        )
    if not getattr(encoder_spec(flags.name, params.encoders), "is_closed", True):
        raise LabError(
            f"encoder {flags.name} means another one for each run that asks for it",
            "an entry with dataset, noise and seed",
            "a run that names it, which makes its own",
        )
    encoder = Planner(params).encoder(flags.name, RunSettings())
    precision = encoder.run.settings.precision if encoder.run else "fp32"
    execution = Execution(tracking=flags.tracking, grid="encoders")
    processes = Processes(precision)
    make_encoder(encoder, execution, processes, Lines())
    made = load_encoder(encoder.folder)
    card = made.card
    print(f"{card.name}: {card.network}, {card.n_features} features, weights {card.weights_digest}")
    if flags.features is not None and flags.dataset is not None:
        dataset = Shelf(params).dataset(flags.dataset)
        write_features(made, dataset, flags.features.expanduser(), processes.device)
        print(f"written: {flags.features}")


if __name__ == "__main__":
    main()
