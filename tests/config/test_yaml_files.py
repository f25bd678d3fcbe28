"""YAML files: what is read, and one line with file and line for what is not."""

import time

import pytest
import yaml

from pipeline.config import read_yaml
from pipeline.errors import LabError
from pipeline.files import methods_folder
from tests.support.paths import PROJECT

DEEP = 3000
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{after}: &{after} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000))


def read(path):
    return read_yaml(path, what="settings", remedy="write them")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a: 1e-3\nb: 1E5\nc: .5\nd: -2.", [1e-3, 1e5, 0.5, -2.0]),
        ("a: 010\nb: 0x10\nc: 0o10\nd: +3", [10, 16, 8, 3]),
        ("a: off\nb: yes\nc: n\nd: true\ne: False", ["off", "yes", "n", True, False]),
        ("a: 2020-13-45\nb: 1:30\nc: 1_000\nd: =", ["2020-13-45", "1:30", "1_000", "="]),
        ("a: ~\nb: null\nc:\nd: ''", [None, None, None, ""]),
        ("a: &x {p: 1}\nb: {<<: *x, q: 2}", [{"p": 1}, {"p": 1, "q": 2}]),
        ("\ufeffa: [1, {b: c}]", [[1, {"b": "c"}]]),
    ],
)
def test_values_are_those_of_yaml_1_2(tmp_path, text, values):
    path = tmp_path / "some.yaml"
    path.write_text(text, encoding="utf-8")
    found = list(read(path).values())
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    "path",
    [PROJECT / "params.yaml", *sorted((methods_folder() / "recipes").glob("*.yaml"))],
    ids=str,
)
def test_the_files_of_the_project_mean_the_same_to_other_readers(path):
    assert read(path) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", ["is empty", "write them"]),
        (b"# nothing\n", ["is empty"]),
        (b"a: 1\n- b", ["line 2"]),
        (b"# list\n- 1\n", ["line 2", "not a mapping"]),
        (b"text", ["line 1", "not a mapping"]),
        ("a: é".encode("utf-16"), ["line 1", "UTF-16"]),
        (b"a: 1\nb: \xe9", ["line 2", "0xe9", "UTF-8"]),
        (b"a: 1\nb: \0", ["line 2", "control characters"]),
        (b'a: "\\0"', ["line 1", "character"]),
        (b"a: 1\nb: 2\na: 3", ["'a'", "line 1", "line 3"]),
        (b"x: {b: 1,\n b: 2}", ["'b'", "line 1", "line 2"]),
        (b"a: 1\n40: {}", ["line 2", "'40'"]),
        (b"? [a]\n: 1", ["line 1", "no word"]),
        (b"a: !!python/object/apply:os.system [ls]", ["line 1", "tag"]),
        (b"a: 1\nb: !!set {a}", ["line 2", "tag"]),
        (b"a: !!timestamp 2020-99-99", ["line 1", "tag"]),
        (b"a: !!int x", ["line 1"]),
        (b"a: " + b"9" * 5000, ["line 1", "5000 digits"]),
        (b"a: " + b"[" * DEEP + b"]" * DEEP, ["deep"]),
        (b"a: " + b"{a: " * DEEP + b"}" * DEEP, ["deep"]),
        (b"".join(b" " * i + b"a:\n" for i in range(1000)), ["deep"]),
        (BOMB.encode(), ["aliases", "values"]),
        (MERGE_BOMB.encode(), ["aliases", "values"]),
        (CHAIN.encode(), ["aliases", "deep"]),
        (b"a: &a [*a]", ["alias"]),
        (b"a: *nope", ["line 1"]),
        (b"a: 1\n---\nb: 2", ["line 2"]),
        (b"a: [1,\nb: 2", ["line"]),
        (b"x" * 2**20 + b": 1", ["megabyte"]),
    ],
)  # fmt: skip
def test_everything_else_is_one_line_with_its_place(tmp_path, raw, words):
    path = tmp_path / "some.yaml"
    path.write_bytes(raw)
    start = time.perf_counter()
    with pytest.raises(LabError) as refusal:
        read(path)
    assert time.perf_counter() - start < 5
    message = str(refusal.value)
    assert len(message) < 600
    assert all(word in message for word in [str(path), *words])
    assert refusal.value.allowed
    assert refusal.value.remedy


def test_what_is_no_file_is_said_with_the_callers_remedy(tmp_path):
    with pytest.raises(LabError, match="is missing; expected: settings; try: write them"):
        read(tmp_path / "none.yaml")
    with pytest.raises(LabError, match="is no file"):
        read(tmp_path)
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(LabError, match=r"loop\.yaml"):
        read(tmp_path / "loop.yaml")
