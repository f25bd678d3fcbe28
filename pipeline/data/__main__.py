"""Prepared data sets, and an example to prepare.

uv run python -m pipeline.data check               # is every file as it was prepared?
uv run python -m pipeline.data example my-images   # a folder of images with wrong labels to try
"""

from pathlib import Path
from typing import Annotated

import tyro

from pipeline.command_line import run_subcommand
from pipeline.data.dataset import load_dataset, prepared_names
from pipeline.data.example_folder import write_example
from pipeline.errors import program


def check(names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()) -> None:
    """Read all of prepared data sets and compare it with the digests on their cards.

    Args:
        names: of the data sets; all that are prepared unless given.
    """
    for name in names or prepared_names():
        card = load_dataset(name, verify=True).card
        print(f"{name}: as it was prepared, digest {card.digest}")


def example(folder: Annotated[Path, tyro.conf.Positional]) -> None:
    """Write a small folder of images, some of which lie in the folder of a wrong class.

    Args:
        folder: to make.
    """
    n_wrong = write_example(folder.expanduser())
    print(f"{folder}: handwritten digits, {n_wrong} of them in a wrong class of train")


@program
def main() -> None:
    """Run the subcommand of the command line."""
    run_subcommand({"check": check, "example": example}, __doc__)


if __name__ == "__main__":
    main()
