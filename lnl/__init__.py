"""The laboratory from Python, in a notebook or a script: labels, runs, and what came out.

    import lnl

    done = lnl.run("robust_loss", loss="ce", noise="symmetric-40", epochs=5)
    lnl.leaderboard(noise="symmetric-40")
    lnl.label_errors(key=done.key)

The laboratory is the folder `LNL_ROOT`, else the checkout that this code lies in, else the current
folder. `lnl` is the same on a command line.
"""

from importlib.util import find_spec
from pathlib import Path

from lnl.tables import label_errors, leaderboard, results
from lnl.training import make_labels, run

__all__ = ["label_errors", "leaderboard", "make_labels", "results", "run"]


def _require_neighbours() -> None:
    """Refuse a file or package of another project that hides one of this code.

    Raises:
        ImportError: naming it.
    """
    folder = Path(__file__).resolve().parent.parent
    for name in ("pipeline", "methods", "analysis"):
        found = find_spec(name)
        origin = found.origin if found is not None else None
        if origin is None or Path(origin).resolve() != folder / name / "__init__.py":
            raise ImportError(
                f"lnl needs its own package {name!r}, and Python finds {origin or 'none'}; "
                f"expected: {folder / name}; try: another name for that file, or another folder"
            )


_require_neighbours()
