"""A laboratory in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.lab import PARAMS, write_params


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and sums stay in one order."""
    torch.set_num_threads(1)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project folder with a params.yaml of tiny runs."""
    for name in ("LNL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    write_params(tmp_path, PARAMS)
    yield tmp_path
    torch.use_deterministic_algorithms(False)
