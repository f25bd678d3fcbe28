"""What a model says of new images, as rows of a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import IO

import torch

from pipeline.models.kept import Model
from pipeline.models.new_images import Portion
from pipeline.training.evaluation import probabilities
from pipeline.training.processes import Processes


class Predictions:
    """A CSV file with a row per image: file, class, probability.

    Args:
        file: to write, opened with newline="".
        class_names: by number.
        every_class: whether a row ends with the probability of each class, p(NAME).
    """

    def __init__(self, file: IO[str], class_names: Sequence[str], every_class: bool) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._class_names, self._every_class = class_names, every_class
        further = [f"p({name})" for name in class_names] if every_class else []
        self._rows.writerow(["file", "class", "probability", *further])

    def write(self, files: Sequence[str], p: torch.Tensor) -> None:
        """Write rows.

        Args:
            files: N of them.
            p: probabilities [N, K].
        """
        # The class by the whole precision, in which two classes may differ that are equal as text.
        for name, number, row in zip(files, p.argmax(dim=1).tolist(), p.tolist(), strict=True):
            further = [f"{one:.6g}" for one in row] if self._every_class else []
            self._rows.writerow([name, self._class_names[number], f"{row[number]:.6g}", *further])


def predicted(
    model: Model, portion: Portion, processes: Processes
) -> Iterator[tuple[list[str], torch.Tensor]]:
    """Files of a portion with their class probabilities [B, K] on the CPU, batch after batch."""
    if portion.images is None:
        return
    index = torch.arange(len(portion.files), device=processes.device)
    for part, p in probabilities(model.method, portion.images, index, processes):
        yield [portion.files[place] for place in part.tolist()], p.cpu()
