"""The package says what hides its neighbours, and loads nothing that takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.paths import PROJECT

_LOADED = (
    "import lnl, lnl.command, sys; print([n for n in ('torch', 'polars') if n in sys.modules])"
)


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", f"import sys; sys.path.append({str(PROJECT)!r}); {code}"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_importing_it_loads_no_slow_library(tmp_path: Path) -> None:
    assert python(_LOADED, tmp_path).stdout == "[]\n"


def test_a_file_that_hides_a_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "analysis.py").write_text("")
    ended = python("import lnl", tmp_path)
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert str(tmp_path / "analysis.py") in line
    assert str(PROJECT / "analysis") in line


def test_a_folder_of_that_name_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    assert python("import lnl, analysis.pages", tmp_path).returncode == 0
