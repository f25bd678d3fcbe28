"""Care of prepared data sets: `uv run python -m pipeline.data check`."""

from typing import Annotated

import tyro

from pipeline.command_line import run_subcommand
from pipeline.data.dataset import load_dataset, prepared_names
from pipeline.errors import program


def check(names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()) -> None:
    """Read all of prepared data sets and compare it with the digests on their cards.

    Args:
        names: of the data sets; all that are prepared unless given.
    """
    for name in names or prepared_names():
        card = load_dataset(name, verify=True).card
        print(f"{name}: as it was prepared, digest {card.digest}")


@program
def main() -> None:
    """Run the subcommand of the command line."""
    run_subcommand({"check": check}, __doc__)


if __name__ == "__main__":
    main()
