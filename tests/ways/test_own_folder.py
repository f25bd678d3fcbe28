"""docs/own_folder.md: every command of the page, in its order, on the folder that it makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.support.paths import PROJECT
from tests.support.printed import commands_of, snippets_of

PAGE = PROJECT / "docs" / "own_folder.md"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_of_the_page_run_one_after_another(lab: Path) -> None:
    (entry,) = (yaml.safe_load(snippet) for snippet in snippets_of(PAGE, "yaml"))
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    for block, entries in entry.items():
        params[block] |= entries
    (lab / "params.yaml").write_text(yaml.safe_dump(params))
    said = [_said(words, lab) for words in commands_of(PAGE)]
    assert "158 of them in a wrong class" in said[0]
    table = said[-1]
    assert "as given" in table
    assert "mended" in table
    listed = pl.read_csv(lab / "suspects.csv")
    truth = dict(pl.read_csv(lab / "my-images" / "true_labels.csv").iter_rows())
    names = {"file", "given_name", "suggested_name", "flagged"}
    assert names <= set(listed.columns)
    first = listed.head(100)
    wrong = [truth[file] != given for file, given in first.select("file", "given_name").iter_rows()]
    assert sum(wrong) > 60
    assert (lab / "suspects.html").stat().st_size > 10_000
    mended = pl.read_csv(lab / "mended.csv")
    assert len(mended) == 640
    still = [
        truth[file] != given for file, given in mended.select("file", "noisy_name").iter_rows()
    ]
    assert sum(still) < 80


def _said(words: list[str], lab: Path) -> str:
    """What a command prints, started in the laboratory, with the programs of this code."""
    assert words[:2] == ["uv", "run"]
    program, *rest = words[2:]
    where = {"methods", "analysis"}
    rest = [str(PROJECT / word) if word.split("/")[0] in where else word for word in rest]
    start = {"python": [sys.executable], "accelerate": [sys.executable, "-m", "accelerate.commands"
             ".accelerate_cli"]}[program]  # fmt: skip
    done = subprocess.run(
        [*start, *rest],
        cwd=lab,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
    return done.stdout
