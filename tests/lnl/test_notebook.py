"""The example notebook runs from its first cell to its last, in a folder that is no checkout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

NOTEBOOKS = sorted((PROJECT / "docs" / "examples").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(lab)}}
    NotebookClient(found, timeout=120, kernel_name="python3", resources=place).execute()
    printed = [output for cell in found.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in printed)
    assert int(re.search(r"(\d+)% of the 100 most suspect", text)[1]) > 80
    assert any("image/png" in output.get("data", {}) for output in printed)
    assert (lab / "results" / "store").is_dir()


def test_notebooks_are_kept_without_what_they_printed() -> None:
    cells = [cell for path in NOTEBOOKS for cell in json.loads(path.read_text())["cells"]]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
