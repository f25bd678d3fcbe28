"""DVC stage `noise`: make one label table of a data set, and the draws of it that a grid crosses.

uv run python -m pipeline.stages.noise digits symmetric-40
uv run python -m pipeline.stages.noise digits symmetric-40 --draws 1 2
uv run python -m pipeline.stages.noise digits symmetric:0.5
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from pipeline.command_line import read_flags
from pipeline.config import Seeds, read_params, validated
from pipeline.errors import program
from pipeline.noise.draws import redrawn, seed_of
from pipeline.runs.inputs.shelf import Shelf
from pipeline.runs.settings.specs import noise_name, noise_spec


@dataclass(frozen=True)
class Flags:
    """Make a label table."""

    dataset: Annotated[str, tyro.conf.Positional]
    """Name of the data set."""
    noise: Annotated[str, tyro.conf.Positional]
    """Name of the table in the noise block of params.yaml, or KIND:RATE."""
    draws: tuple[int, ...] | None = None
    """Seeds of further draws to make; default: those that the grid asks for."""


def _checked(draw: int) -> int:
    validated(Seeds, {"noise": draw}, "--draws")
    return draw


@program
def main() -> None:
    """Make the tables and print what was realised."""
    flags = read_flags(Flags, __doc__)
    params = read_params()
    name = noise_name(flags.noise, params)
    shelf, spec = Shelf(params), noise_spec(flags.dataset, name, params)
    asked = flags.draws
    if asked is None:
        asked = () if params.grid is None else params.grid.label_draws
    usual = seed_of(spec)
    draws = [] if usual is None else [draw for draw in map(_checked, asked) if draw != usual]
    for draw in (None, *draws):
        drawn = spec if draw is None else redrawn(spec, draw)
        card = shelf.make_table(flags.dataset, name, drawn, draw).card
        rate = "unknown" if card.realised_rate is None else f"{card.realised_rate:.4f}"
        is_given = card.generator == "clean" and card.convention == "given"
        given = ", as they are given" if is_given else ""
        print(f"{card.dataset} {card.name}: {card.n} labels{given}, realised rate {rate}")


if __name__ == "__main__":
    main()
