"""A laboratory in a temporary folder, and places of both kinds."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.storage.place import Place
from tests.support.buckets import BucketServer
from tests.support.lab import PARAMS, write_params


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C ends tests and what they start, also where a shell runs them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and sums stay in one order."""
    torch.set_num_threads(1)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project folder with a params.yaml of tiny runs."""
    for name in ("LNL_STORE", "LNL_SHARED", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    write_params(tmp_path, PARAMS)
    yield tmp_path
    torch.set_deterministic_debug_mode("default")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """An S3 server, for tests that are marked `services`."""
    server = BucketServer(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty place of either kind."""
    if request.param == "folder":
        return Place.at(tmp_path / "place")
    server: BucketServer = request.getfixturevalue("s3")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return Place.at(f"s3://{server.bucket()}/some/prefix")
