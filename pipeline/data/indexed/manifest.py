"""How many entries the published lists have, and the comparison with what was found."""

from typing import NamedTuple

import numpy as np

from pipeline.data.data_spec import DataSpec
from pipeline.data.listed import ListedSource
from pipeline.errors import LabError

_SHOWN = 3


class Expected(NamedTuple):
    """Entries of one split.

    Args:
        n: of all classes; None where nobody has published it.
        per_class: of every class, or of each the same; None where nobody has published it.
    """

    n: int | None
    per_class: tuple[int, ...] | int | None = None


def _clothing(*per_class: int) -> Expected:
    return Expected(sum(per_class), per_class)


# fmt: off
_CLOTHING_TRAIN = {
    "all": _clothing(86152, 88131, 85788, 50092, 18976, 82829, 80437,
                     80699, 73318, 88588, 42312, 87958, 59663, 75057),
    "cc": _clothing(65017, 68361, 32190, 35198, 12900, 58443, 55867,
                    68004, 71574, 73913, 37727, 52533, 46201, 60232),
}
_CLOTHING_CLEAN = {
    "clean_train": _clothing(3974, 3032, 2507, 5225, 4126, 3670, 2690,
                             1326, 4420, 3467, 2223, 3126, 4051, 3733),
    "val": _clothing(1221, 891, 735, 1562, 1259, 1147, 785,
                     435, 1362, 1021, 704, 944, 1145, 1102),
    "test": _clothing(845, 636, 527, 1171, 918, 824, 558,
                      297, 1017, 727, 523, 686, 946, 851),
}
# fmt: on
_WEBVISION_TRAIN = {50: 65_944}
_PER_VALIDATION_CLASS = 50
_FOOD = {"train": Expected(310_009), "test": Expected(25_250, 250)}
_FOOD_COUNTS = {"verified_train": 52_868, "verified_val": 4_741}
_FOOD_CLASSES = 101


def check_counts(spec: DataSpec, source: ListedSource) -> None:
    """Compare a data set as read with the published one.

    Args:
        spec: its settings; with `complete: false` nothing is compared.
        source: what was read.

    Raises:
        LabError: naming every difference.
    """
    if not spec.complete:
        return
    differences = []
    for name, expected in _expected(spec, len(source.class_names)).items():
        if name not in source.splits:
            continue
        found = np.bincount(source.splits[name].labels, minlength=len(source.class_names))
        if expected.n is not None and found.sum() != expected.n:
            differences.append(f"{name}: {found.sum()} entries instead of {expected.n}")
        elif expected.per_class is not None:
            wrong = np.flatnonzero(found != expected.per_class)
            due = np.broadcast_to(expected.per_class, len(found))
            differences += [
                f"{name}: {found[label]} of class {label} ({source.class_names[label]}) "
                f"instead of {due[label]}"
                for label in wrong
            ]
    for name, due_count in (_FOOD_COUNTS if spec.kind == "food101n" else {}).items():
        if source.counts[name] != due_count:
            differences.append(f"{name}: {source.counts[name]} entries instead of {due_count}")
    if spec.kind == "food101n" and len(source.class_names) != _FOOD_CLASSES:
        differences.append(f"{len(source.class_names)} classes instead of {_FOOD_CLASSES}")
    if differences:
        rest = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        n_bad = f" ({len(source.bad)} wrong lines were left out)" if source.bad else ""
        raise LabError(
            f"lists of {spec.kind} that are not the published ones: "
            f"{'; '.join(differences[:_SHOWN])}{rest}{n_bad}",
            "the published number of entries",
            "fetch them again, or give complete: false in params.yaml for a part of the data set",
        )


def _expected(spec: DataSpec, n_classes: int) -> dict[str, Expected]:
    match spec.kind:
        case "clothing1m":
            return {"train": _CLOTHING_TRAIN[spec.selection], **_CLOTHING_CLEAN}
        case "webvision":
            validation = Expected(_PER_VALIDATION_CLASS * n_classes, _PER_VALIDATION_CLASS)
            train = Expected(_WEBVISION_TRAIN.get(n_classes))
            return {"train": train, "test": validation, "ilsvrc": validation}
        case _:
            return _FOOD
