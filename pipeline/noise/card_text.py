"""The noise card for reading: as text and as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import LabError, quoted
from pipeline.files import replacing
from pipeline.noise.noise_card import NoiseCard

FORMATS = (".png", ".svg", ".pdf")
_MOST_ROWS = 10
_MOST_WRITTEN_CLASSES = 20
_LONGEST_NAME = 24
_CONVENTIONS = {"given": "given: labels as they are, of which nobody says that they are clean"}


def describe_card(card: NoiseCard) -> str:
    """A card for reading: facts, then the matrix, or its largest entries where it is too wide.

    Args:
        card: the card.

    Returns:
        Several lines.
    """
    facts = {
        "table": f"{card.dataset} / {card.name}",
        "generator": f"{card.generator}, version {card.version}, seed {_or_none(card.seed)}",
        "convention": _CONVENTIONS.get(card.convention, card.convention),
        "nominal rate": _or_none(card.nominal_rate),
        "realised rate": _or_none(card.realised_rate),
        "per class": _spread(card),
        "labels": f"{card.n} of {card.n_classes} classes, digest {card.labels_digest}",
        "images": f"digest {card.data_digest}",
        **{name: str(v) for name, v in card.details.items() if name not in ("made_from", "spec")},
    }
    width = max(map(len, facts))
    lines = [f"{name:{width}s}  {value}" for name, value in facts.items()]
    return "\n".join([*lines, *matrix_lines(card.transition or ())])


def matrix_lines(transition: Sequence[Sequence[float]]) -> list[str]:
    """A matrix T for reading, or its largest flips where it is too wide; nothing for no matrix.

    Args:
        transition: [K][K], rows are clean classes.

    Returns:
        Lines, the first a heading.
    """
    if not transition:
        return []
    if len(transition) <= _MOST_ROWS:
        rows = ("  ".join(f"{share:.3f}" for share in row) for row in transition)
        return ["T[clean, noisy]:", *rows]
    wrong = np.array(transition)
    np.fill_diagonal(wrong, 0.0)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
    pairs = zip(*np.unravel_index(largest, wrong.shape), strict=True)
    return ["largest flips:", *(f"{i} -> {j}: {wrong[i, j]:.3f}" for i, j in pairs)]


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _spread(card: NoiseCard) -> str:
    known = [rate for rate in card.per_class_rates or () if rate is not None]
    return f"{min(known):.4f} to {max(known):.4f}" if known else "not known: no clean labels"


def draw_card(card: NoiseCard, class_names: tuple[str, ...], path: Path) -> None:
    """Draw a card.

    Args:
        card: of a table with clean labels.
        class_names: K names.
        path: the figure to write, in a folder that is made if need be; its ending picks the format.

    Raises:
        LabError: for another ending, or a card without a transition matrix.
    """
    if path.suffix not in FORMATS:
        raise LabError(
            f"figure {quoted(path.name)}",
            f"a name ending in {', '.join(FORMATS)}",
            "--figure card.png",
        )
    if card.transition is None or card.per_class_rates is None:
        raise LabError(
            f"table {quoted(card.name)} has no transition matrix",
            "a data set whose clean labels are known",
            "show it without --figure",
        )
    # Figures are drawn here alone; everything else starts without matplotlib.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Class names are text, whatever marks they hold: `$` would start a formula.
    plain: Any = {"svg.hashsalt": card.labels_digest, "text.parse_math": False}
    with rc_context(plain), replacing(path) as temporary:
        figure = Figure(figsize=(10, 5), layout="constrained")
        matrix, bars = figure.subplots(1, 2)
        shown = matrix.imshow(np.array(card.transition), vmin=0, vmax=1, cmap="viridis")
        figure.colorbar(shown, ax=matrix, shrink=0.8, label="share of the clean class")
        matrix.set(xlabel="noisy class", ylabel="clean class", title="T[clean, noisy]")
        rates = [rate or 0.0 for rate in card.per_class_rates]
        bars.bar(range(card.n_classes), rates)
        bars.axhline(card.realised_rate or 0.0, linestyle="--", color="black", label="overall")
        bars.set(xlabel="clean class", ylabel="share of wrong labels", ylim=(0, 1))
        bars.legend()
        if card.n_classes <= _MOST_WRITTEN_CLASSES:
            ticks = range(card.n_classes)
            written = [name[:_LONGEST_NAME] for name in class_names]
            matrix.set_xticks(ticks, written, rotation=90)
            matrix.set_yticks(ticks, written)
            bars.set_xticks(ticks, written, rotation=90)
        figure.suptitle(f"{card.dataset} / {card.name}: {card.convention}")
        kind = path.suffix.removeprefix(".")
        figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)
