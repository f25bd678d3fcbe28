"""What to type or open to see runs in MLflow, on the pages for model training.

MLflow opens every page for GenAI unless its address says otherwise, whatever the experiment says of
itself, and a click in the list of experiments forgets it again. So the address names the experiment
by its number.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from urllib.parse import quote

from pipeline.installation import as_typed
from pipeline.results.tracking.client import connect, shown_address, tracking_uri
from pipeline.results.tracking.limits import within

_ASKED_SECONDS = 3.0
"""What a program that has nothing else to do with MLflow waits for the number."""
_PAGES = "workflowType=machine_learning"


def how_to_open(dataset: str) -> str:
    """What to type or open to see the runs of a data set.

    Args:
        dataset: its name, which is that of the experiment.

    Returns:
        An address without password, after what starts a server where none runs; that of all
        experiments while the data set has none, or MLflow does not answer.
    """
    number = _number_of(dataset)
    page = f"#/experiments/{number}/runs?{_PAGES}" if number else f"#/experiments?{_PAGES}"
    if tracking_uri().startswith("http"):
        return f"{shown_address().rstrip('/')}/{page}"
    return as_typed(f"uv run mlflow ui, then http://127.0.0.1:5000/{page}")


def _number_of(dataset: str) -> str | None:
    try:
        if tracking_uri().startswith("sqlite"):
            return _in_file(dataset)
        found = within(_ASKED_SECONDS, lambda: connect().get_experiment_by_name(dataset))
    # Whatever the tracker's trouble is, there is another address.
    except Exception:
        return None
    return None if found is None else str(found.experiment_id)


def _in_file(dataset: str) -> str | None:
    """The number by the database itself: loading MLflow for it would take seconds."""
    from sqlalchemy.engine import make_url

    path = make_url(tracking_uri()).database or ""
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=1)) as database:
        asked = "SELECT experiment_id FROM experiments WHERE name = ?"
        found = database.execute(asked, (dataset,)).fetchone()
    return None if found is None else str(found[0])
