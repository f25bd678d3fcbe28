"""Published label files against the clean labels, the registry of known files and a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import LabError
from pipeline.noise.agreement import FALSE_ALARM, against_chance
from pipeline.noise.alignment import Rows, check_labels
from pipeline.noise.arrays import Labels
from pipeline.noise.detect import TESTABLE, Detection, detect
from pipeline.noise.models.class_maps import CIFAR100_COARSE
from pipeline.noise.noise_card import confusion, realised
from pipeline.noise.published import regenerate
from pipeline.noise.published.inventory import (
    Finding,
    LabelFile,
    Verdict,
    clean_labels,
    collect,
    read_manifest,
)
from pipeline.noise.published.registry import Published

_N_CLASSES = {"cifar10": 10, "cifar100": 100}
_TOLERANCE = 5e-5
"""Manifests give class rates to four decimals."""


def verify(folder: Path, posteriors: tuple[Path, ...] = ()) -> list[Finding]:
    """Check every label file of a folder and regenerate what can be regenerated.

    Args:
        folder: published label files; a manifest.csv in it is compared with as well.
        posteriors: .npy files with softmax averages, to regenerate `dependent` labels from.

    Returns:
        One finding per vector of labels, then one per recipe.

    Raises:
        LabError: if there are no files or no clean labels to compare with.
    """
    items = list(collect(folder))
    files = [item for item in items if isinstance(item, LabelFile)]
    clean = clean_labels(files)
    if not clean:
        raise LabError(
            f"no clean CIFAR labels for {folder}",
            "a file with them in that folder, or the prepared data set",
            "uv run python -m pipeline.stages.data cifar10 (and cifar100)",
        )
    manifest = read_manifest(folder)
    findings = [
        check_file(item, clean, manifest.get(item.name.partition(":")[0]))
        if isinstance(item, LabelFile)
        else item
        for item in items
    ]
    return findings + list(regenerate.findings(files, clean, posteriors))


def check_file(
    file: LabelFile, clean: Mapping[str, Labels], manifest: Mapping[str, str] | None
) -> Finding:
    """Figures of one file beside what is said about it.

    Args:
        file: the labels.
        clean: clean labels by data set.
        manifest: its row in a manifest, or None.

    Returns:
        `ok` if its content was published and everything said about it holds; `unknown` if nothing
        contradicts it, but its content is not among the published.
    """
    complaints = _against_sha256(file, manifest)
    known = file.known
    if known is not None and known.convention.startswith("clean"):
        return _finding(file, f"{known.name}, n {len(file.labels)}", complaints)
    if known is not None and known.convention == "open-set mask":
        if int(file.labels.sum()) != known.n_flips:
            complaints.append(f"{known.n_flips} ones are known")
        text = f"n {len(file.labels)}, {file.labels.mean():.1%} of the images replaced"
        return _finding(file, text, complaints)
    if known is not None and known.dataset not in clean:
        if complaints:
            return _finding(file, "", complaints)
        return Finding(file.name, "skipped", f"needs clean labels of {known.dataset}")
    try:
        reference, n_classes = _reference(file, clean)
    except LabError as error:
        return Finding(file.name, "differs", str(error))
    figures = _measure(file, reference, n_classes)
    text = str(figures)
    if known is not None:
        text += f"; published: {known.name}, {known.convention}"
        complaints += figures.against_registry(known)
    if manifest is not None:
        said = [manifest.get(name) or "none" for name in ("noise_type", "nominal_rate")]
        text += f"; manifest: {said[0]}, nominal {said[1]}"
        complaints += figures.against_manifest(manifest)
    return _finding(file, text, complaints)


def _finding(file: LabelFile, text: str, complaints: list[str]) -> Finding:
    if complaints:
        return Finding(file.name, "differs", f"{text}; BUT {', '.join(complaints)}")
    if file.known is None:
        text += "; its content is not among the published"
    verdict: Verdict = "unknown" if file.known is None else "ok"
    return Finding(file.name, verdict, text)


def _against_sha256(file: LabelFile, manifest: Mapping[str, str] | None) -> list[str]:
    expected = (manifest or {}).get("sha256", "").strip().lower()
    if not expected or expected == file.sha256:
        return []
    return [f"its sha256 is {file.sha256[:12]}..., the manifest says {expected[:12]}..."]


@dataclass(frozen=True)
class _Figures:
    """What the labels of one file show."""

    n: int
    n_flips: int
    class_rates: tuple[float, ...]
    found: Detection

    def __str__(self) -> str:
        low, high = min(self.class_rates), max(self.class_rates)
        return (
            f"n {self.n}, realised {self.n_flips / self.n:.5f}, classes {low:.3f} to {high:.3f}, "
            f"detected {' or '.join(self.found.conventions)} ({self.found.evidence})"
        )

    def against_registry(self, known: Published) -> list[str]:
        complaints = []
        if self.n_flips != known.n_flips:
            complaints.append(f"{known.n_flips} flips are known, here are {self.n_flips}")
        expected = known.convention if known.convention in TESTABLE else "uneven"
        if expected not in self.found.conventions:
            complaints.append(f"it should show as {expected}")
        return complaints

    def against_manifest(self, row: Mapping[str, str]) -> list[str]:
        ours = {
            "n": self.n,
            "realised_rate": self.n_flips / self.n,
            "min_class_rate": min(self.class_rates),
            "max_class_rate": max(self.class_rates),
        }
        return [
            f"the manifest says {name} {row[name]}"
            for name, value in ours.items()
            if row.get(name) and not abs(_number(row[name]) - value) <= _TOLERANCE
        ]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _measure(file: LabelFile, reference: Labels, n_classes: int) -> _Figures:
    counts = confusion(reference, file.labels, n_classes)
    return _Figures(
        n=len(file.labels),
        n_flips=len(file.labels) - int(np.trace(counts)),
        class_rates=tuple(rate for rate in realised(counts).per_class if rate is not None),
        found=detect(counts, None if file.known is None else file.known.nominal_rate),
    )


def _reference(file: LabelFile, clean: Mapping[str, Labels]) -> tuple[Labels, int]:
    """The clean labels that a file belongs to, and K."""
    if file.known is not None and "coarse" in file.known.convention:
        return CIFAR100_COARSE[clean["cifar100"]], 20
    name = _dataset_of(file, clean) if file.known is None else file.known.dataset
    check_labels(clean[name], file.labels, _N_CLASSES[name], Rows(file.name))
    return clean[name][: len(file.labels)], _N_CLASSES[name]


def _dataset_of(file: LabelFile, clean: Mapping[str, Labels]) -> str:
    """The data set that unknown labels agree with; where none does, the likelier one."""
    for name, labels in clean.items():
        n_classes = _N_CLASSES[name]
        fits = (
            0 < len(file.labels) <= len(labels)
            and ((file.labels >= 0) & (file.labels < n_classes)).all()
        )
        if fits:
            head = labels[: len(file.labels)]
            if against_chance(head, file.labels, n_classes).p < FALSE_ALARM:
                return name
    return "cifar10" if file.labels.max() <= 10 and "cifar10" in clean else max(clean)
