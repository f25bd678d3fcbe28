"""Where MLflow's pages show which run."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.results.tracking.client import connect, explained, prepare
from pipeline.results.tracking.experiments import search


def run_pages(address: str, datasets: Iterable[str]) -> dict[str, str]:
    """Addresses of the pages of runs, by the key of the stored run.

    Args:
        address: under which the pages of the tracker open, such as http://127.0.0.1:5000.
        datasets: of the runs.

    Raises:
        LabError: if the tracker does not answer.
    """
    pages: dict[str, str] = {}
    try:
        prepare()
        client = connect()
        for dataset in datasets:
            experiment = client.get_experiment_by_name(dataset)
            if experiment is None:
                continue
            number = str(experiment.experiment_id)
            # The newest comes first, and counts.
            for run in reversed(search(client, number)):
                if key := run.data.tags.get("key"):
                    place = f"#/experiments/{number}/runs/{run.info.run_id}"
                    pages[key] = f"{address.rstrip('/')}/{place}"
    # MLflow fails in many ways, of which each is told in a line.
    except Exception as failure:
        raise explained(failure) from failure
    return pages
