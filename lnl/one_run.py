"""Train one method, by its name, in one process.

    uv run lnl run robust_loss --loss ce --noise symmetric-40
    uv run lnl run sln --noise pair-40 --seed 3

The same as starting the file of the method; `accelerate launch` starts several processes.
"""

import ast
from pathlib import Path

from lnl.choosing import chosen
from pipeline.command_line import given_words, named_by
from pipeline.errors import program
from pipeline.files import method_names, methods_folder


def methods() -> dict[str, str]:
    """The methods by name, and the first sentence that the file of each says; none is imported."""
    return {name: _first_line(methods_folder() / f"{name}.py") for name in method_names()}


def _first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_bytes())) or file.stem).splitlines()[0]


@program
def main() -> None:
    """Train the method that the first word names, by the flags behind it."""
    method = chosen("method", methods(), __doc__)
    # Networks load torch: who misspells a name is told at once.
    from pipeline.runs.script import run_script
    from pipeline.runs.settings.methods import load_method

    words = given_words()[1:]
    with named_by("lnl", "run", method):
        run_script(load_method(method), words)
