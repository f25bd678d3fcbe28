"""Write the model of a run as an ONNX file, which other programs and languages run.

uv run --extra onnx python -m pipeline.export KEY model.onnx

The file takes images, float32 [B, C, H, W] with pixels in [0, 1] and any B, and gives
probabilities, float32 [B, K]; the names of the classes are in its metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import tyro

from pipeline.command_line import run_function
from pipeline.errors import program
from pipeline.models.found import find_model
from pipeline.models.kept import load_model
from pipeline.models.onnx_file import export_onnx
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method


def export(
    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")],
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")],
    averaged: bool = False,
    store: str | None = None,
) -> None:
    """Write a model as an ONNX file, and compare what the two predict.

    Args:
        model: key of a run with --keep-weights, the beginning of it, or the folder that it left.
        file: to write.
        averaged: with the averaged weights, of a run with the setting averaging.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    place, card = find_model(model, Store(store))
    loaded = load_model(place, card, load_method(card.method), torch.device("cpu"), averaged)
    difference = export_onnx(loaded, file)
    height, width, n_channels = card.image_shape
    print(
        f"{file}: images [B, {n_channels}, {height}, {width}] in [0, 1] -> probabilities "
        f"[B, {len(card.class_names)}]; differs from the model by {difference:.1g} at most"
    )


@program
def main() -> None:
    """Command line of the export."""
    run_function(export)


if __name__ == "__main__":
    main()
