"""One command for the programs of the laboratory: `uv run lnl --help` lists them.

    uv run lnl run robust_loss --loss ce --noise symmetric-40
    uv run lnl leaderboard --protocol last10

Behind its word each program takes the flags that it takes when it is started by itself, and only
the one that is asked for is imported.
"""

import importlib

from lnl.choosing import chosen
from pipeline.command_line import named_by
from pipeline.errors import program
from pipeline.installation import PROGRAMS


@program
def main() -> None:
    """Start the program that the first word names."""
    with named_by("lnl"):
        says = {word: one.says for word, one in PROGRAMS.items()}
        word = chosen("command", says, "A laboratory for learning with noisy labels.")
    with named_by("lnl", word):
        importlib.import_module(PROGRAMS[word].module).main()
