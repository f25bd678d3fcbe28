"""The digest of code: what changes numbers changes it, what a reader sees only does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.results.code_digest import sources_digest

CODE = '''"""Says what it is."""

import math


class Loss:
    """A loss."""

    weight: float = 0.5
    """Says what it is."""

    def of(self, x):
        """Value at x."""
        return self.weight * math.log(x)  # natural
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lab" / "methods" / "loss.py"
    path.parent.mkdir(parents=True)
    path.write_text(CODE)
    return path


def of(file: Path) -> str:
    return sources_digest([file], file.parent.parent)


def rewrite(file: Path, content: str | bytes) -> str:
    """Digest after a change; the time of change moves on even within one clock tick."""
    before = file.stat().st_mtime_ns
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(file, ns=(before + 10**9, before + 10**9))
    return of(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# natural", "# of base e"),
        ('"""Value at x."""', '"""The value."""'),
        ('"""Says what it is."""', '"""Another word."""'),
        ('        """Value at x."""\n', ""),
        ("(x)  #", "( x )   #"),
        ("import math\n", "import math\n\n\n\n"),
        ("0.5", "0.50"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(file: Path, old: str, new: str) -> None:
    assert old in CODE
    before = of(file)
    assert rewrite(file, CODE.replace(old, new)) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.5", "0.05"), ("math.log(x)", "0.01 * math.log(x)"), ("of(", "at("), ("x)", "x, y=0)")],
)
def test_code_counts(file: Path, old: str, new: str) -> None:
    before = of(file)
    assert rewrite(file, CODE.replace(old, new)) != before
    assert rewrite(file, CODE) == before


@pytest.mark.parametrize(
    "content", [b"def (", b"\x00", b"\xff\xfe", b"x = " + b"(" * 5000, b"-" * 200000 + b"1", b""]
)
def test_what_is_no_python_counts_by_its_bytes(file: Path, content: bytes) -> None:
    first = rewrite(file, content)
    assert rewrite(file, content + b"#") != first or content == b""
    assert rewrite(file, content) == first


def test_order_place_and_repetition_of_files_do_not_count_but_names_do(
    file: Path, tmp_path: Path
) -> None:
    other = file.with_name("other.py")
    other.write_text("y = 1")
    root = file.parent.parent
    both = sources_digest([file, other], root)
    assert sources_digest([other, file, other], root) == both
    assert sources_digest([file], root) != both
    elsewhere = tmp_path / "elsewhere"
    root.rename(elsewhere)
    moved = [elsewhere / "methods" / name for name in ("loss.py", "other.py")]
    assert sources_digest(moved, elsewhere) == both
    moved[1].rename(moved[1].with_name("third.py"))
    assert sources_digest([moved[0], moved[1].with_name("third.py")], elsewhere) != both


def test_a_file_that_is_gone_has_a_digest_of_its_own(file: Path) -> None:
    before = of(file)
    file.unlink()
    gone = of(file)
    assert gone != before
    file.mkdir()
    assert of(file) == gone
