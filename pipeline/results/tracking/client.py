"""Reaching MLflow, or saying in one line why it cannot be reached and what helps."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import LabError, quoted
from pipeline.files import project_root
from pipeline.results.tracking.database import REBUILD, prepare_database, sqlite_uri
from pipeline.results.tracking.limits import TooSlow

if TYPE_CHECKING:
    from mlflow import MlflowClient


def tracking_uri() -> str:
    """Where MLflow keeps its view: `MLFLOW_TRACKING_URI`, else mlflow.db of the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(project_root() / "mlflow.db")


def prepare() -> None:
    """Load MLflow and make its database where it is a file: work of this machine, done once.

    Raises:
        LabError: for an address that MLflow has given up, and a file that cannot be used.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A server's addresses are no part of what a program prints.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    uri = tracking_uri()
    if urlsplit(uri).scheme in {"", "file"}:
        raise LabError(
            f"MLFLOW_TRACKING_URI is the folder {quoted(uri)}",
            "a database or a server: MLflow keeps no runs in folders any more",
            f"unset MLFLOW_TRACKING_URI (mlflow.db is used then); then {REBUILD}",
        )
    # Importing MLflow takes seconds: only programs that track pay for it.
    import mlflow
    from sqlalchemy.engine import make_url

    del mlflow
    # They tell of every step and every attempt.
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if uri.startswith("sqlite") and (file := make_url(uri).database):
        prepare_database(Path(file))


def connect() -> MlflowClient:
    """A client of the tracker, after `prepare`; its first request shows whether it answers."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri())


def explained(failure: Exception) -> LabError:
    """A failure of the tracker as an error with a remedy that works."""
    if isinstance(failure, LabError):
        return failure
    text = re.sub(r"//[^/@\s]*@", "//", str(failure).strip())
    first = quoted(text.splitlines()[0])[1:-1] if text else ""
    given = f"MLflow at {shown_address()}: {type(failure).__name__} {first}"
    if isinstance(failure, TooSlow):
        return LabError(
            f"MLflow at {shown_address()}: {first}",
            "a server that answers in seconds",
            f"start it again, or unset MLFLOW_TRACKING_URI; then {REBUILD}",
            exit_code=1,
        )
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return LabError(
            given,
            "a database of this version of MLflow",
            f"uv run mlflow db upgrade {shown_address()}; then {REBUILD}",
            exit_code=1,
        )
    if "database is locked" in text:
        remedy = "close the program that uses it"
    elif tracking_uri().startswith("http"):
        remedy = "start the server, or unset MLFLOW_TRACKING_URI"
    else:
        remedy = "mend what it names, or remove the database"
    return LabError(
        given, "a server or database that answers", f"{remedy}; then {REBUILD}", exit_code=1
    )


def shown_address() -> str:
    """The address without user and password."""
    return re.sub(r"//[^/@]*@", "//", tracking_uri())
