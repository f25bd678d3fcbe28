"""Small CSV files are read as text by line; what is wrong with one is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.csv_rows import read_csv
from pipeline.errors import LabError


def test_cells_come_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffa,b\r\n1,"x, ""y""\nz"\r\n\r\n,2\r\n'.encode())
    rows = read_csv(path, "letters", ["a", "b", "c"], ["a"])
    assert [row.cells for row in rows] == [{"a": "1", "b": 'x, "y"\nz'}, {"a": "", "b": "2"}]
    assert [row.place for row in rows] == [f"{path}, line 3", f"{path}, line 5"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,a\n1,2\n", "column 'a' twice"),
        (b"a,d\n1,2\n", "unknown column 'd'.*one of a, b"),
        (b"b\n1\n", "lacks column 'a'"),
        (b"a,b\n1\n", "line 2: 1 cells; expected: 2"),
        (b'a\n"1\n', "line 2: unexpected end"),
        (b"a\n\xff\n", "no UTF-8"),
        (b"", "lacks column 'a'"),
    ],
)
def test_a_fault_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(LabError, match=message) as caught:
        read_csv(path, "letters", ["a", "b"], ["a"])
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is a folder"):
        read_csv(tmp_path, "letters", ["a"], ["a"])
