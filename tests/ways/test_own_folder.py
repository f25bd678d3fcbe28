"""docs/own_folder.md: every command of the page, in its order, on the folder that it makes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.support.paths import PROJECT
from tests.support.printed import commands_of, snippets_of
from tests.support.programs import run_here

PAGE = PROJECT / "docs" / "own_folder.md"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_of_the_page_run_one_after_another(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lab)
    (entry,) = (yaml.safe_load(snippet) for snippet in snippets_of(PAGE, "yaml"))
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    for block, entries in entry.items():
        params[block] |= entries
    (lab / "params.yaml").write_text(yaml.safe_dump(params))
    said = []
    for words in commands_of(PAGE):
        assert words[:2] == ["uv", "run"]
        start = 4 if words[2:4] == ["accelerate", "launch"] else 3
        run_here(words[start:], monkeypatch)
        said.append(capsys.readouterr().out)
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
