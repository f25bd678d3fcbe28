"""Tables are written in the form that the ending of their file picks; others are refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import LabError
from pipeline.written_frame import write_frame

FRAME = pl.DataFrame({"name": ["a", "b"], "p": [[0.25, 0.75], [1.0]]})


def test_lists_are_words_in_csv_and_stay_lists_in_parquet(tmp_path: Path) -> None:
    write_frame(FRAME, tmp_path / "new" / "t.csv")
    assert (tmp_path / "new" / "t.csv").read_text() == "name,p\na,0.25 0.75\nb,1.0\n"
    write_frame(FRAME, tmp_path / "t.parquet")
    assert pl.read_parquet(tmp_path / "t.parquet").equals(FRAME)


def test_another_ending_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"'t.xlsx'; expected: .*\.csv or \.parquet; try: t\.csv"):
        write_frame(FRAME, tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []
