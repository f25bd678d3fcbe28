"""Ask the model of a run about new images.

uv run python -m pipeline.predict KEY photos                         # CSV: file, class, probability
uv run python -m pipeline.predict KEY photos --csv found.csv --every-class

KEY is that of a run with --keep-weights, or as much of its beginning as no other run has. Instead
of it, the folder that the run left, wherever it was moved, will do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import torch
import tyro

from pipeline.command_line import run_function
from pipeline.errors import LabError, program
from pipeline.files import replacing
from pipeline.models.found import find_model
from pipeline.models.kept import load_model, settings_of
from pipeline.models.new_images import new_images
from pipeline.models.predictions import Predictions, predicted
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method
from pipeline.training.processes import Processes, set_determinism

_NAMED = 5


def predict(
    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")],
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")],
    csv: Path | None = None,
    every_class: bool = False,
    averaged: bool = False,
    workers: int = 4,
    store: str | None = None,
) -> None:
    """Write the class of each image of a folder as CSV: file, class, probability.

    Images come to the model as the test images of its run did. Files that cannot be read are left
    out and named in the end; the exit status is 1 then.

    Args:
        model: key of a run with --keep-weights, the beginning of it, or the folder that it left.
        folder: of image files, at any depth.
        csv: file to write; without, the rows are printed.
        every_class: add a column with the probability of each class.
        averaged: predict by the averaged weights, of a run with the setting averaging.
        workers: processes that decode images of large data sets; 0 for none.
        store: folder or s3://bucket/prefix; LNL_STORE or results/store unless given.
    """
    place, card = find_model(model, Store(store))
    kind = load_method(card.method)
    settings = settings_of(card, kind)
    processes = Processes(_precision(settings.precision))
    set_determinism(settings.determinism, settings.tf32, settings.times_convolutions)
    loaded = load_model(place, card, kind, processes.device, averaged)
    n, bad = 0, []
    with _written(csv) as file:
        table = Predictions(file, card.class_names, every_class)
        for portion in new_images(loaded, folder, processes.device, workers):
            bad += portion.bad
            for files, p in predicted(loaded, portion, processes):
                table.write(files, p)
                n += len(files)
    if csv is not None:
        print(f"{csv}: {n} images")
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise LabError(
            f"images that cannot be read were left out: {', '.join(bad[:_NAMED])}{more}",
            "whole image files",
            "mend or remove them; the other images are in the table",
            exit_code=1,
        )


def _precision(trained: str) -> str:
    """That of the run; float32 where a CPU does not have it."""
    if trained == "fp16" and not torch.cuda.is_available():
        print("note: predicted in fp32 on a CPU; the run computed in fp16", file=sys.stderr)
        return "fp32"
    return trained


@contextmanager
def _written(path: Path | None) -> Iterator[IO[str]]:
    """The file to write, which appears whole or not at all; the standard output without one."""
    if path is None:
        yield sys.stdout
        return
    with replacing(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        yield file


@program
def main() -> None:
    """Command line of predictions."""
    run_function(predict)


if __name__ == "__main__":
    main()
