"""DVC stage `data`: prepare one data set.

uv run python -m pipeline.stages.data digits
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from pipeline.command_line import read_flags
from pipeline.config import read_params
from pipeline.errors import program
from pipeline.runs.inputs.shelf import Shelf


@dataclass(frozen=True)
class Flags:
    """Prepare a data set."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the data set."""
    root: str | None = None
    """Folder or archive with a copy of the files, where they cannot be downloaded."""


@program
def main() -> None:
    """Prepare the data set and print what it is."""
    flags = read_flags(Flags, __doc__)
    roots = {} if flags.root is None else {flags.name: flags.root}
    card = Shelf(read_params(), roots).make_dataset(flags.name).card
    print(f"{card.name}: {card.n_train} + {card.n_test} images, digest {card.digest}")


if __name__ == "__main__":
    main()
