"""One tiny run with its kept model, for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.lab import PARAMS, write_params
from tests.support.runs import run


class Kept(NamedTuple):
    """A laboratory with a run that kept its model."""

    lab: Path
    key: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A run with averaged weights; the laboratory is that of the tests of the module."""
    lab = tmp_path_factory.mktemp("lab")
    write_params(lab, PARAMS)
    with pytest.MonkeyPatch.context() as environment:
        for name in ("LNL_STORE", "LNL_SHARED"):
            environment.delenv(name, raising=False)
        environment.setenv("LNL_ROOT", str(lab))
        settings = {"epochs": 1, "val_rate": 0.0, "averaging": 0.9}
        yield Kept(lab, run(execution={"keep_weights": True}, **settings).key)
