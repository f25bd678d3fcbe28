"""The noise card as a figure: transition matrix and share of wrong labels by class."""

from pathlib import Path

import numpy as np

from pipeline.errors import LabError
from pipeline.noise.noise_card import NoiseCard

FORMATS = (".png", ".svg", ".pdf")
_MOST_WRITTEN_CLASSES = 20


def draw_card(card: NoiseCard, class_names: tuple[str, ...], path: Path) -> None:
    """Draw a card.

    Args:
        card: of a table with clean labels.
        class_names: K names.
        path: the figure to write; its ending picks the format.

    Raises:
        LabError: for another ending, or a card without a transition matrix.
    """
    if path.suffix not in FORMATS:
        raise LabError(f"figure {path.name}", f"a name ending in {', '.join(FORMATS)}")
    if card.transition is None or card.per_class_rates is None:
        raise LabError(
            f"table {card.name!r} has no transition matrix",
            "a data set whose clean labels are known",
            "show it without --figure",
        )
    # Figures are drawn here alone; everything else starts without matplotlib.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": card.labels_digest}):
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
            matrix.set_xticks(ticks, class_names, rotation=90)
            matrix.set_yticks(ticks, class_names)
            bars.set_xticks(ticks, class_names, rotation=90)
        figure.suptitle(f"{card.dataset} / {card.name}: {card.convention}")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
