"""The sections in the order in which they are measured: what is cheap and important comes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gpu import device, embeddings, methods, sharing, throughput, whole_runs
from benchmarks.gpu.isolation import Row
from benchmarks.gpu.laboratory import ENCODER, NOISE, QUIET, Size, planned_run, processes_in
from pipeline.runs.pretraining import make_encoder


def _as_it_is(rows: dict[str, Row]) -> None:
    del rows


@dataclass(frozen=True)
class Section:
    """One question.

    Args:
        name: for `--only`.
        seconds: after which it ends, on a fast GPU.
        items: what is measured, one by one.
        measure: gives the row of an item.
        relate: adds to the rows what follows from several of them.
    """

    name: str
    seconds: float
    items: tuple[str, ...]
    measure: Callable[[str, Size], Row]
    relate: Callable[[dict[str, Row]], None] = _as_it_is


def prepared(item: str, size: Size) -> Row:
    """Make the data set, the labels and the encoder that later sections use."""
    del size
    planned = planned_run("robust_loss", loss="ce", noise=NOISE)
    if item == ENCODER:
        asking = planned_run("lra_diffusion", precision="bf16")
        encoder = asking.inputs.encoders["encoder"]
        assert encoder.run is not None
        make_encoder(encoder, QUIET, processes_in(encoder.run.settings.precision))
    card = planned.inputs.dataset.card
    return {"images": card.n_train + card.n_test, "digest": card.digest}


def sections_of(size: Size) -> list[Section]:
    """All sections."""
    eager = tuple(throughput.items_of(size, throughput.EAGER))
    compiled = tuple(throughput.items_of(size, size.compiled))
    return [
        Section("device", 40, ("device",), device.what_it_is),
        Section("inputs", 120, (size.dataset, ENCODER), prepared),
        Section("methods", 170, tuple(methods.methods()), methods.step_of_method,
                methods.beside_cross_entropy),
        Section("throughput", 70, eager, throughput.throughput),
        Section("repeat", 130, tuple(whole_runs.REPEATED), whole_runs.repeated),
        Section("real", 80, whole_runs.LOSSES, whole_runs.real_run),
        Section("loader", 40, ("PIL loader", "fp32", "bf16"), throughput.loader,
                throughput.beside_loader),
        Section("evaluation", 20, ("fp32", "bf16"), throughput.evaluation),
        Section("sharing", 70, tuple(sharing.items_of(size)), sharing.shared, sharing.beside_one),
        Section("embeddings", 50, tuple(embeddings.items_of(size)), embeddings.resting_on_features),
        Section("compiled", 240, compiled, throughput.throughput),
    ]  # fmt: skip
