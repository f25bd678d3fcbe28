"""Reports in these tests leave out the script of a megabyte, which takes seconds to make."""

from __future__ import annotations

import pytest

from analysis import report


@pytest.fixture(autouse=True)
def _without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "libraries", lambda: "")
