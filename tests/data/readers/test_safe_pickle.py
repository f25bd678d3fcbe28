"""The reader of pickles that builds plain data and runs nothing."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.readers.safe_pickle import read_pickle
from pipeline.errors import LabError
from tests.support.data_files import Call, pictures

PYTHON_2 = (
    b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    b"(K\x01(K\x01K\x03tcnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x03\x00\x80\xfftb"
    b"U\x06labels](K\x03K\x04eu."
)
"""{'data': numpy.array([[0, 128, 255]], dtype='uint8'), 'labels': [3, 4]} as Python 2 wrote it."""


def test_pickle_of_python_2_is_read() -> None:
    found = read_pickle(PYTHON_2, "batch")
    np.testing.assert_array_equal(np.asarray(found["data"]), [[0, 128, 255]])
    assert found["labels"] == [3, 4]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_bytes_survive_every_protocol(protocol: int, order: Any) -> None:
    array = np.array(pictures(2, size=5), order=order)
    values = {b"array": array, "text": "ä", b"bytes": b"\xff", "numbers": [1, 2.5, None, True]}
    found = read_pickle(pickle.dumps(values, protocol=protocol), "batch")
    np.testing.assert_array_equal(np.asarray(found.pop("array")), array)
    assert found == {"text": "ä", "bytes": b"\xff", "numbers": [1, 2.5, None, True]}


@pytest.mark.parametrize("protocol", range(6))
def test_malicious_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    for call, name in (
        (Call(os.system, f"touch {mark}"), r"posix\.system"),
        (Call(eval, f"open({str(mark)!r}, 'w')"), r"(builtins|__builtin__)\.eval"),
        (Call(np.save, mark, np.zeros(1)), r"numpy(\.lib.*)?\.save"),
        (Call(os.mkdir, str(mark)), r"posix\.mkdir"),
    ):
        evil = pickle.dumps({"data": call}, protocol=protocol)
        with pytest.raises(LabError, match=rf"^batch is a pickle that asks for {name};"):
            read_pickle(evil, "batch")
        assert list(tmp_path.iterdir()) == []
    # The attack works on a reader that trusts its input.
    pickle.loads(evil)
    assert mark.is_dir()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"
TYPE = b"cnumpy\ndtype\n"
ENCODE = b"c_codecs\nencode\n"


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(b"(ios\nsystem\n.", id="class by the INST opcode"),
        pytest.param(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", id="name from the stack"),
        pytest.param(b"\x80\x02\x82\x01.", id="extension code"),
        pytest.param(b"Pname\n.", id="persistent name"),
        pytest.param(b"\x80\x02" + TYPE + b"(U\x01OK\x00K\x01tR.", id="element type object"),
        pytest.param(b"\x80\x02" + TYPE + b"(U\x02u1tR(K\x03U\x01|tb.", id="a type is no dict"),
        pytest.param(ARRAY + b"}U\x01aK\x01sb.", id="state for the stand-in itself"),
        pytest.param(ENCODE + b"N}U\x0c__defaults__NsU\x01a\x86b.", id="attributes of a function"),
        pytest.param(ENCODE + b"(U\x01aU\x07no_suchtR.", id="unknown encoding"),
        pytest.param(b"\x80\x02}U\x04data" + ARRAY + b")\x81s.", id="array without its state"),
        pytest.param(
            b"\x80\x02" + ARRAY + b"(NNNtR(K\x01(K\x09t" + TYPE + b"(U\x02u1tR\x89U\x01atb.",
            id="more elements than bytes",
        ),
        pytest.param(b"\x80\x02]q\x00.", id="a list"),
        pytest.param(PYTHON_2[:-20], id="cut short"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x80\xff.", id="protocol of the future"),
    ],
)
def test_forged_pickle_is_refused_with_its_title(forged: bytes) -> None:
    with pytest.raises(LabError, match=r"^batch (cannot be read|is a pickle that asks for)"):
        read_pickle(forged, "batch")
