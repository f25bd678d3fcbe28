"""DVC stage `noise`: make one label table of a data set.

uv run python -m pipeline.stages.noise digits symmetric-40
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from pipeline.command_line import read_flags
from pipeline.config import read_params
from pipeline.errors import program
from pipeline.runs.inputs.shelf import Shelf
from pipeline.runs.settings.specs import noise_spec


@dataclass(frozen=True)
class Flags:
    """Make a label table."""

    dataset: Annotated[str, tyro.conf.Positional]
    """Name of the data set."""
    noise: Annotated[str, tyro.conf.Positional]
    """Name of the table in the noise block of params.yaml."""


@program
def main() -> None:
    """Make the table and print what was realised."""
    flags = read_flags(Flags, __doc__)
    params = read_params()
    spec = noise_spec(flags.dataset, flags.noise, params)
    card = Shelf(params).make_table(flags.dataset, flags.noise, spec).card
    rate = "unknown" if card.realised_rate is None else f"{card.realised_rate:.4f}"
    print(f"{flags.dataset} {flags.noise}: {card.n} labels, realised rate {rate}")


if __name__ == "__main__":
    main()
