"""A step of every method beside one of cross entropy: time, arithmetic, launches, waits, copies."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from benchmarks.gpu.isolation import Row, where_and_why
from benchmarks.gpu.laboratory import ENCODER, Size, planned_run, processes_in, session_of
from benchmarks.gpu.stopwatch import Enough, Watch, median_ms
from pipeline.errors import LabError
from pipeline.files import methods_folder
from pipeline.training.loop import run_epochs
from pipeline.training.stopping import StopRequest

PLAIN = "robust_loss ce"
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "robust_loss": [{"loss": "ce"}, {"loss": "dal"}, {"loss": "ce", "rrm": True, "rrm_rate": 0.3}],
    "representation_regularization": [{"loss": "ce"}, {"loss": "elr", "regulariser": "rkd_angle"}],
    "sln": [{"averaging": None}, {"correction": True, "correct_from": 1}],
    "elr": [{}, {"plus": True}],
    "sop": [{}, {"plus": True}],
    "co_teaching": [{}, {"plus": True, "plus_from": 1}, {"rate_from": "hoc", "encoder": ENCODER}],
    "dividemix": [{"warm_up": 1, "keep_both_sides": True}],
    "promix": [{"warm_up": 1, "guess_from": 2, "threshold": 0.2, "keep_rate": 0.5}],
    "pes": [{"warm_up": 0}, {"warm_up": 0, "semi": True}],
    "lra_diffusion": [{}, {"query": "re-encoded"}],
    "feature_classifier": [{}, {"classifier": "knn"}],
}
"""Settings of a method that are measured; a method that is not named runs on its defaults."""
EPOCHS = 3
"""Of which the second is timed, and the first steps of the third are counted."""


def methods() -> list[str]:
    """Every method with every variant, cross entropy first."""
    names = sorted(path.stem for path in methods_folder().glob("[!_]*.py"))
    found = [title(name, own) for name in names for own in VARIANTS.get(name, [{}])]
    return sorted(found, key=lambda item: item != PLAIN)


def title(method: str, own: dict[str, Any]) -> str:
    """Name of a variant."""
    words = [name if value is True else f"{value}" for name, value in own.items()
             if isinstance(value, str) or value is True]  # fmt: skip
    return " ".join([method, *words])


def settings_of(item: str) -> tuple[str, dict[str, Any]]:
    """The method and the own settings of a variant."""
    method = item.partition(" ")[0]
    own = next(own for own in VARIANTS.get(method, [{}]) if title(method, own) == item)
    return method, own


def step_of_method(item: str, size: Size) -> Row:
    """Measure the step of a variant, deterministically, or else with what that did not allow."""
    try:
        return _measured(item, size, "error")
    except RuntimeError as refusal:
        if "deterministic" not in str(refusal):
            raise
        return {"not_deterministic": where_and_why(refusal)} | _measured(item, size, "off")


def _measured(item: str, size: Size, determinism: str) -> Row:
    method, own = settings_of(item)
    usual: dict[str, Any] = {
        "backbone": size.network, "batch_size": size.batch, "epochs": EPOCHS, "optimizer": "sgd",
        "lr": 0.02, "schedule": "constant", "precision": "bf16", "determinism": determinism,
    }  # fmt: skip
    planned = planned_run(method, **(usual | own))
    session = session_of(planned, processes_in("bf16"), n_train=size.images, n_test=size.tests)
    watch, notes = Watch(session, traced=EPOCHS - 1), dict[str, str]()
    try:
        # Asked for nothing but `save_now`.
        deque(run_epochs(session, cast("StopRequest", watch)), maxlen=0)
    except Enough:
        pass
    except LabError as refusal:
        # What a method refuses in its last epoch does not take its times away.
        if session.progress.epoch < EPOCHS - 1:
            raise
        notes["refused"] = str(refusal)
    finally:
        watch.close()
    timed = watch.step_seconds(first_epoch=1) or watch.step_seconds()
    epochs = [record["seconds"] for record in session.progress.records]
    return {
        "ms": median_ms(timed),
        "steps": len(timed),
        "epoch_s": epochs[1] if len(epochs) > 1 else None,
        "gflop": watch.flops / 1e9,
        **watch.counts,
        **notes,
    }


def beside_cross_entropy(rows: dict[str, Row]) -> None:
    """Add time and arithmetic as ratios to those of cross entropy, and one by the other."""
    plain = rows.get(PLAIN, {})
    for row in rows.values():
        if row.get("ms") and plain.get("ms"):
            row["ratio"] = row["ms"] / plain["ms"]
        if row.get("gflop") and plain.get("gflop"):
            row["arithmetic"] = row["gflop"] / plain["gflop"]
        if row.get("ratio") and row.get("arithmetic"):
            row["over"] = row["ratio"] / row["arithmetic"]
