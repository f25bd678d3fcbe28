"""Accuracy, loss and confusion on labelled images, shared out over the processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.data.views import ImageSource
from pipeline.identity import seed_stream
from pipeline.training.method import Method
from pipeline.training.peers import asked_once
from pipeline.training.processes import Processes

BATCH = 512
"""Images of a batch of evaluation, on each process."""
_PIXELS = 2**16
"""Pixels that a CPU predicts at once, 64 images of 32 x 32: of many more, what passes from layer to
layer does not fit in the cache."""
_MULTIPLE = 32
"""Of images that a CPU predicts at once. Few may be multiplied by other kernels, which round
otherwise."""
CALIBRATION_BINS = 15
"""Of equal width, by the largest probability: as many as Guo et al. (ICML 2017) take."""


@dataclass(frozen=True)
class Evaluation:
    """Results on one set of images.

    Args:
        loss: mean of -ln p of the label, p clamped to at least 1e-12.
        accuracy: fraction in [0, 1].
        top5: fraction whose label is among the five largest; None below ten classes.
        calibration_error: expected calibration error, a fraction in [0, 1]: how far accuracy and
            mean largest probability lie apart in each bin of `CALIBRATION_BINS`, averaged over the
            images (Guo et al., "On Calibration of Modern Neural Networks", equation 5).
        confusion: int64 [K, K] on the CPU, row = label, column = prediction.
    """

    loss: float
    accuracy: float
    top5: float | None
    calibration_error: float
    confusion: Tensor


@torch.no_grad()
def predictions(
    method: Method, images: ImageSource, index: Tensor, processes: Processes,
    seed: int = 0, function: Callable[..., Tensor] | None = None,
    views: tuple[str, ...] | None = None, training: bool = False,
) -> Tensor:  # fmt: skip
    """Class probabilities of images, in order.

    Args:
        method: its `predict` is used.
        images: where the images come from.
        index: int64 [N], positions in `images`.
        processes: each process predicts its share.
        seed: of views that are drawn.
        function: computed instead of `predict`.
        views: it takes; None for the method's `predict_views`.
        training: in training mode, in global batches of 512 that the processes share, as they share
            those of a step: where batch norm joins the processes it sees what one process would
            see, and all processes have equally many batches.

    Returns:
        float32 [N, K], the same on all processes.
    """
    views = views or method.predict_views
    joined: Tensor | None = None
    method.train(training)
    if training:
        everyone = torch.arange(len(index), device=index.device)
        shares = [(part, part[processes.share(len(part))]) for part in everyone.split(BATCH)]
        # A process without a sample goes along with one that does not count.
        parts = [(own if len(own) else part[:1], len(own)) for part, own in shares]
    else:
        parts = [(part, len(part)) for part in processes.share(len(index)).split(BATCH)]
    asked = [index[part] for part, _ in parts]
    made = images.batches(asked, views, _seeds(seed, views))
    for (part, n), batch in zip(parts, made, strict=True):
        processes.batch_begins()
        with processes.autocast():
            p = in_parts(function or method.predict, parts_of(batch, whole=training)).float()
        if joined is None:
            joined = p.new_zeros(len(index), p.shape[1])
        joined[part[:n]] = p[:n]
    method.train()
    if joined is None:
        raise ValueError(f"{len(index)} images for {processes.n_processes} processes to predict")
    return processes.sum(joined)


def sizes_at_once(n: int, image: Sequence[int], device: torch.device) -> list[int]:
    """How many images of a batch are predicted at once: all, or some of them after others on a CPU.

    Args:
        n: images of the batch.
        image: height and width in pixels.
        device: that predicts.

    Returns:
        Numbers whose sum is `n`. The last one takes what the others leave, so that none is small:
        predictions are bit for bit those of the whole batch.
    """
    size = max(_PIXELS // math.prod(image) // _MULTIPLE, 1) * _MULTIPLE
    if device.type != "cpu" or n < 2 * size:
        return [n]
    others = [size] * (n // size - 1)
    return [*others, n - sum(others)]


def parts_of(batch: tuple[Tensor, ...], whole: bool = False) -> list[tuple[Tensor, ...]]:
    """The views of a batch, in parts that are predicted at once; one part where `whole`."""
    first = batch[0]
    if whole or first.ndim != 4:
        return [batch]
    sizes = sizes_at_once(len(first), first.shape[2:], first.device)
    if len(sizes) == 1:
        return [batch]
    return list(zip(*(view.split(sizes) for view in batch), strict=True))


def in_parts(function: Callable[..., Tensor], parts: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """What a function makes of all parts of a batch, row by row."""
    made = [function(*views) for views in parts]
    return made[0] if len(made) == 1 else torch.cat(made)


def _seeds(seed: int, views: tuple[str, ...]) -> list[int]:
    """One for each view: a view that is asked for again is drawn again."""
    turns = [views[:number].count(view) for number, view in enumerate(views)]
    return [seed_stream(seed, turn) if turn else seed for turn in turns]


@torch.no_grad()
def evaluate(
    method: Method,
    images: ImageSource,
    index: Tensor,
    labels: Mapping[str, Tensor],
    processes: Processes,
) -> dict[str, Evaluation]:
    """Evaluate one pass over all images at `index` against one or more sets of labels.

    Args:
        method: its `predict` is used.
        images: where the images come from.
        index: int64 [N], positions in `images`.
        labels: int64 [N] each, on the device, by name.
        processes: each process evaluates its share; the result is the same on all.

    Returns:
        The evaluation over all N images against each set of labels.
    """
    totals = {name: _Totals() for name in labels}
    for part, p in probabilities(method, images, index, processes):
        for name, y in labels.items():
            totals[name].add(p, y[part])
    return {name: total.joined(len(index), processes) for name, total in totals.items()}


@torch.no_grad()
def evaluate_with_members(
    method: Method, images: ImageSource, index: Tensor, labels: Tensor, processes: Processes
) -> tuple[Evaluation, dict[str, Evaluation]]:
    """Evaluate `predict` and each of the method's members in one pass over all images at `index`.

    Each network of `Peers` predicts an image once, for itself and for what joins it with others.

    Args:
        method: whose `predict` and `members` are used.
        images: where the images come from.
        index: int64 [N], positions in `images`.
        labels: int64 [N], on the device.
        processes: each process evaluates its share; the result is the same on all.

    Returns:
        The evaluation of `predict`, and those of the members by name.
    """
    members = method.members()
    whole, totals = _Totals(), {name: _Totals() for name in members}
    for part, batch in _batches(method, images, index, processes):
        parts, y = parts_of(batch), labels[part]
        with asked_once(method):
            whole.add(_predicted(method.predict, parts, processes), y)
            for name, function in members.items():
                totals[name].add(_predicted(function, parts, processes), y)
    return whole.joined(len(index), processes), {
        name: total.joined(len(index), processes) for name, total in totals.items()
    }


@torch.no_grad()
def probabilities(
    method: Method, images: ImageSource, index: Tensor, processes: Processes
) -> Iterator[tuple[Tensor, Tensor]]:
    """Class probabilities as evaluation takes them, batch after batch.

    Args:
        method: its `predict` is used.
        images: where the images come from.
        index: int64 [N], positions in `images`.
        processes: each process has its share.

    Yields:
        Places in `index`, int64 [B], and probabilities [B, K], float32 or float64.
    """
    for part, batch in _batches(method, images, index, processes):
        yield part, _predicted(method.predict, parts_of(batch), processes)


def _batches(
    method: Method, images: ImageSource, index: Tensor, processes: Processes
) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
    """Places in `index` and views of the batches of this process, the method in evaluation mode."""
    method.eval()
    parts = processes.share(len(index)).split(BATCH)
    views = method.predict_views
    made = images.batches([index[part] for part in parts], views, [0] * len(views))
    for part, batch in zip(parts, made, strict=True):
        processes.batch_begins()
        yield part, batch
    method.train()


def _predicted(
    function: Callable[..., Tensor], parts: Sequence[tuple[Tensor, ...]], processes: Processes
) -> Tensor:
    """Probabilities [B, K], not less precise than they are: rounding could make two equal."""
    with processes.autocast():
        p = in_parts(function, parts)
    return p.to(torch.promote_types(p.dtype, torch.float32))


class _Totals:
    """What this process found so far against one set of labels."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._confusion: Tensor | None = None

    def add(self, p: Tensor, y: Tensor) -> None:
        """Take in probabilities [B, K] and labels [B]."""
        n_classes = p.shape[1]
        loss = -p.gather(1, y[:, None]).clamp(min=1e-12).log().sum()
        in_top5 = (p.topk(min(5, n_classes)).indices == y[:, None]).any(dim=1).sum()
        prediction = p.argmax(dim=1)
        surpluses = _surpluses(p.amax(dim=1), prediction == y)
        sums = torch.cat([torch.stack([loss, in_top5]).double(), surpluses])
        # Not `bincount`, for the size of whose result the host waits on a GPU.
        cells = y * n_classes + prediction
        confusion = cells.new_zeros(n_classes**2).scatter_add_(0, cells, torch.ones_like(cells))
        self._sums = sums if self._sums is None else self._sums + sums
        self._confusion = confusion if self._confusion is None else self._confusion + confusion

    def joined(self, n: int, processes: Processes) -> Evaluation:
        """The evaluation over the `n` images of all processes."""
        if self._sums is None or self._confusion is None:
            raise ValueError(f"{n} images for {processes.n_processes} processes to evaluate")
        total, counts = processes.sum(self._sums).tolist(), processes.sum(self._confusion)
        loss, in_top5, *surpluses = total
        n_classes = round(len(counts) ** 0.5)
        matrix = counts.view(n_classes, n_classes).cpu()
        return Evaluation(
            loss=loss / n,
            accuracy=float(matrix.trace()) / n,
            top5=in_top5 / n if n_classes >= 10 else None,
            calibration_error=sum(map(abs, surpluses)) / n,
            confusion=matrix,
        )


def _surpluses(confidence: Tensor, is_right: Tensor) -> Tensor:
    """By how much largest probabilities exceed right predictions, summed up in each bin.

    Args:
        confidence: [B], in [0, 1].
        is_right: [B].

    Returns:
        float64 [bins]; a bin holds its upper end, not its lower one.
    """
    bins = (confidence * CALIBRATION_BINS).ceil().clamp(1, CALIBRATION_BINS) - 1
    # Not added bin by bin: that is in no certain order on a GPU.
    inside = bins[:, None] == torch.arange(CALIBRATION_BINS, device=bins.device)
    surplus = confidence.double() - is_right.double()
    return torch.where(inside, surplus[:, None], 0.0).sum(dim=0)
