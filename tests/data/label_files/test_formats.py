"""Label files of every format: read alike, safely, and with the bad row named."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pipeline.data.label_files.formats import ENDINGS, read_table
from pipeline.errors import LabError
from pipeline.noise.file_labels import Target, read_labels
from pipeline.noise.models import transitions
from tests.support.data_files import Call
from tests.support.noise_cases import balanced

CLEAN = balanced(600, 10)
NOISY = transitions.draw(CLEAN, transitions.symmetric(0.4, 10), 0)
NAMES = tuple(f"class{c}" for c in range(10))
TARGET = Target(600, NAMES)
FRAME = pl.DataFrame({"label": CLEAN, "label_noisy": NOISY})
LINES = "".join(f"{label}\n" for label in NOISY)


def _old_torch_file(path: Path) -> None:
    """As written under NumPy 1, whose modules had other names."""
    torch.save({"worse_label": NOISY}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"numpy._core.", b"numpy.core."))


WRITERS: dict[str, Callable[[Path], object]] = {
    "int64.npy": lambda path: np.save(path, NOISY),
    "uint8.npy": lambda path: np.save(path, NOISY.astype(np.uint8)),
    "one.npz": lambda path: np.savez(path, anything=NOISY),
    "several.npz": lambda path: np.savez_compressed(path, label=CLEAN, noisy=NOISY),
    "plain.csv": FRAME.write_csv,
    "crlf.csv": lambda path: FRAME.write_csv(path, line_terminator="\r\n"),
    "floats.csv": lambda path: FRAME.cast(pl.Float64).write_csv(path),
    "semicolon.csv": lambda path: FRAME.write_csv(path, separator=";"),
    "mark.csv": lambda path: FRAME.write_csv(path, include_bom=True),
    "headerless.csv": lambda path: path.write_text(LINES),
    "pandas.csv": lambda path: FRAME.with_row_index("").write_csv(path),
    "names.csv": lambda path: path.write_text("".join(f"{NAMES[y]}\n" for y in NOISY)),
    "loose.csv": lambda path: path.write_text("".join(f"Class{y} \n" for y in NOISY)),
    "headed.csv": lambda path: path.write_text(f"given\n{LINES}"),
    "tabs.tsv": lambda path: FRAME.write_csv(path, separator="\t"),
    "plain.txt": lambda path: path.write_text(LINES),
    "savetxt.txt": lambda path: np.savetxt(path, NOISY, header="noisy"),
    "list.json": lambda path: path.write_text(json.dumps(NOISY.tolist())),
    "names.json": lambda path: path.write_text(json.dumps([NAMES[y] for y in NOISY])),
    "columns.json": lambda path: path.write_text(
        json.dumps({"label": CLEAN.tolist(), "noisy": NOISY.tolist()})
    ),
    "rows.json": lambda path: path.write_text(
        json.dumps([{"index": i, "label": int(y)} for i, y in enumerate(NOISY)])
    ),
    "plain.parquet": FRAME.write_parquet,
    "names.parquet": lambda path: pl.DataFrame({"y": [NAMES[y] for y in NOISY]}).write_parquet(
        path
    ),
    "arrays.pt": lambda path: torch.save({"label_noisy": NOISY, "label": CLEAN}, path),
    "lists.pt": lambda path: torch.save({"label_noisy": NOISY.tolist(), "note": "worst"}, path),
    "tensor.pt": lambda path: torch.save(torch.from_numpy(NOISY), path),
    "old.pt": _old_torch_file,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_labels(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    labels = read_labels(tmp_path / name, None, TARGET)
    assert labels.noisy.dtype == np.int64
    assert (labels.noisy == NOISY).all()
    assert (labels.index == np.arange(600)).all()


def test_every_format_is_among_the_tried() -> None:
    assert {Path(name).suffix for name in WRITERS} == set(ENDINGS)


def test_a_path_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "run [1]").mkdir()
    for name in ("plain.parquet", "plain.csv"):
        path = tmp_path / "run [1]" / f"*{name}"
        WRITERS[name](path)
        assert (read_labels(path, None, TARGET).noisy == NOISY).all()


@pytest.mark.parametrize("ending", ["pt", "npy", "npz"])
def test_a_pickle_that_would_execute_code_is_refused(tmp_path: Path, ending: str) -> None:
    trap, path = tmp_path / "executed", tmp_path / f"labels.{ending}"
    evil = Call(Path.touch, trap)
    if ending == "pt":
        torch.save({"worse_label": evil}, path)
    else:
        objects = np.array([evil], dtype=object)
        save: Any = np.save if ending == "npy" else np.savez
        save(path, objects, allow_pickle=True)
    for content in (path.read_bytes(), pickle.dumps(evil)):
        path.write_bytes(content)
        with pytest.raises(LabError) as caught:
            read_table(path)
        assert "\n" not in str(caught.value)
    assert not trap.exists()


@pytest.mark.parametrize(
    "content", [{"clean_label": CLEAN, "random_label1": NOISY}, NOISY.astype(object)]
)
def test_published_pickles_in_an_array_are_refused_and_the_conversion_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    """As the CIFAR-N files in TensorFlow's order are."""
    path = tmp_path / "human_ordered.npy"
    np.save(path, content, allow_pickle=True)
    with pytest.raises(LabError, match="pickled Python objects") as caught:
        read_table(path)
    code = caught.value.remedy.split('-c "')[1].removesuffix('"').replace("FILE", str(path))
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    named = "random_label1" if isinstance(content, dict) else None
    assert (read_labels(tmp_path / "labels.npz", named, TARGET).noisy == NOISY).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.xyz", b"1\n2\n", "ends in '.xyz'"),
        ("labels", b"1\n2\n", "ends in nothing"),
        ("labels.pkl", b"", "is a pickle"),
        ("labels.npy", b"no array", "cannot be read"),
        ("labels.npz", b"no archive", "cannot be read"),
        ("labels.parquet", b"no table", "cannot be read"),
        ("labels.pt", b"no tensor", "is refused|cannot be read"),
        ("labels.json", b"{", "cannot be read"),
        ("labels.json", b"[" * 100_000, "cannot be read"),
        ("labels.json", b"[" + b"1" * 5000 + b"]", "cannot be read"),
        ("labels.json", b'{"a": 1, "a": 2}', "'a' is given twice"),
        ("labels.json", b"3", "neither a list nor an object"),
        ("labels.json", b"[[1, 2]]", "something else than labels"),
        ("labels.csv", "1\n2\n".encode("utf-16"), "is not UTF-8 text"),
        ("labels.csv", "Käfer\n".encode("cp1252"), "is not UTF-8 text .*save it again as UTF-8"),
        ("labels.csv", b'"' + b"a" * 200_000 + b'"\n1\n', "cannot be read"),
        ("labels.csv", b"", "no vector of labels"),
        ("labels.csv", b"noisy,noisy\n1,2\n", "two columns called 'noisy'"),
        ("labels.csv", b"a,noisy\n1,2\n3\n", "line 3 holds 1 cells"),
        ("labels.csv", b"a,noisy\n1,2\n\n3,4\n", "line 3 holds nothing"),
        ("labels.csv", b"noisy\n1\n\n2\n", "line 3 holds no label"),
        ("labels.csv", b"noisy\n1\n2\n\n\n", "line 4 holds no label"),
        ("labels.csv", b"noisy\n1\nNA\n", "line 3 holds no label .'NA'"),
        ("labels.csv", b"index,noisy\n0,1\n1,\n", "line 3 holds no label"),
        ("labels.csv", b"noisy\n1\n0.5\n", "line 3 holds '0.5'"),
        ("labels.csv", b"noisy\n1\ninf\n", "line 3 holds 'inf'"),
        ("labels.csv", b"noisy\nclass1\nclasz2\n", "line 3 holds 'clasz2', which is no class"),
        ("labels.csv", b"noisy\nTrue\nFalse\n", "line 2 holds 'True'"),
        ("labels.json", b"[1, null]", "row 1 holds no label"),
        ("labels.json", b"[true, false]", "truth values"),
    ],
)
def test_broken_files_are_one_clear_line(
    tmp_path: Path, capfd: Any, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabError, match=message) as caught:
        read_labels(tmp_path / name, None, TARGET)
    assert "\n" not in str(caught.value)
    assert "try: " in str(caught.value)
    assert len(str(caught.value)) < 600
    assert capfd.readouterr().err == ""


def _refusal(path: Path) -> str:
    """Why a file is refused; nothing where it is read."""
    try:
        read_table(path)
    except LabError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["int64.npy", "several.npz", "plain.parquet", "arrays.pt"])
def test_damaged_binary_files_are_read_or_refused_in_one_line(
    tmp_path: Path, capfd: Any, name: str
) -> None:
    """Cut at and flipped in 40 places each; a flipped label is a label like any other."""
    path = tmp_path / name
    WRITERS[name](path)
    intact, places = path.read_bytes(), np.random.default_rng(1)
    for place in places.choice(len(intact) - 1, 40, replace=False):
        flipped = intact[:place] + bytes([intact[place] ^ 16]) + intact[place + 1 :]
        for content in (intact[:place], flipped):
            path.write_bytes(content)
            assert "\n" not in _refusal(path)
    assert capfd.readouterr().err == ""


def test_archives_that_unpack_without_end_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(2**16, np.uint8))
    with zipfile.ZipFile(tmp_path / "bomb.npz") as archive:
        size = archive.infolist()[0].file_size
    content = (tmp_path / "bomb.npz").read_bytes()
    assert content.count(struct.pack("<L", size)) >= 1
    forged = content.replace(struct.pack("<L", size), struct.pack("<L", 2**31))
    (tmp_path / "bomb.npz").write_bytes(forged)
    with pytest.raises(LabError, match="unpacks to"):
        read_table(tmp_path / "bomb.npz")
    promise = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        promise, {"descr": "<i8", "fortran_order": False, "shape": (2**50,)}
    )
    (tmp_path / "promise.npy").write_bytes(promise.getvalue() + bytes(80))
    with pytest.raises(LabError, match="cannot be read"):
        read_table(tmp_path / "promise.npy")
