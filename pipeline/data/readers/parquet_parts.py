"""The Parquet files of a data set: what belongs to which part, and whether all are there."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.data.readers.parts import choose_parts, is_junk, part_of
from pipeline.errors import LabError

EXPECTED = "train*.parquet and maybe test*.parquet, at most two folders deep, or one Parquet file"
_DEPTH = 2
_FIRST_WORD = re.compile(r"[A-Za-z]+")
_SHARD = re.compile(r"(?P<before>.*?)(?P<number>\d+)-of-(?P<of>\d+).*")
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)\.parquet")

Files = list[Path]


class ParquetParts(NamedTuple):
    """The Parquet files of a data set, in order.

    Args:
        train: with the training images.
        test: with the test images; empty where there are none.
        left_out: numbers of other Parquet files, by what they are.
    """

    train: Files
    test: Files
    left_out: dict[str, int]


def find_parts(root: Path, test_part: str | None = None) -> ParquetParts:
    """The train files and the test files under `root`.

    The part of a file is the first word of its name (`train-00000-of-00002.parquet`), else the name
    of its folder (`default/train/0000.parquet`), as image hubs have it.

    Args:
        root: a folder, or one Parquet file, which then is the train part.
        test_part: name of the part to test on; see `choose_parts`.

    Returns:
        The files; `train` is empty where there are none.

    Raises:
        LabError: if several folders could be meant, or a file of a part is missing or there twice.
    """
    if root.is_file():
        return ParquetParts(_complete([root]), [], {})
    sets: dict[Path, dict[str, Files]] = defaultdict(lambda: defaultdict(list))
    for file in parquet_files(root):
        folder, part = _set_and_part(file, root)
        sets[folder][part].append(file)
    chosen = _one_set(root, [folder for folder, of in sets.items() if any(map(_is_train, of))])
    if chosen is None:
        return ParquetParts([], [], {})
    files_of = sets[chosen]
    parts = choose_parts((name for name in files_of if part_of(name)), test_part, str(chosen))
    left_out = Counter(
        {
            f"Parquet files of {name or 'no part'}": len(files)
            for name, files in files_of.items()
            if name not in parts
        }
    )
    if elsewhere := sum(len(files) for folder, of in sets.items() if folder != chosen
                        for files in of.values()):  # fmt: skip
        left_out["Parquet files of other folders"] = elsewhere
    train, test = (_complete(files_of[name]) if name else [] for name in parts)
    return ParquetParts(train, test, dict(left_out))


def parquet_files(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """The Parquet files in a folder and, `depth` levels deep, in its folders; or the one file."""
    if folder.is_file():
        yield folder
        return
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not is_junk(entry.name)), key=_name)
    for entry in entries:
        if entry.is_dir() and depth:
            yield from parquet_files(Path(entry.path), depth - 1)
        elif entry.name.lower().endswith(".parquet") and entry.is_file():
            yield Path(entry.path)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _set_and_part(file: Path, root: Path) -> tuple[Path, str]:
    """The folder of the data set that a file belongs to, and the name of its part as written."""
    if part_of(file.name):
        word = _FIRST_WORD.match(file.name)
        return file.parent, word.group() if word else ""
    if file.parent != root and part_of(file.parent.name):
        return file.parent.parent, file.parent.name
    return file.parent, ""


def _is_train(part: str) -> bool:
    return part_of(part) == "train"


def _one_set(root: Path, folders: Files) -> Path | None:
    """The folder to read: the root itself, its folder `data`, or the only other one."""
    for usual in (root, root / "data"):
        if usual in folders:
            return usual
    if len(folders) > 1:
        raise LabError(
            f"train files in {', '.join(folder.name for folder in folders)} of {root}",
            "one data set",
            f"name its folder, as in  root: {folders[0]}",
        )
    return folders[0] if folders else None


def _complete(files: Files) -> Files:
    """The files of one part by name; LabError if their numbers have gaps or occur twice."""
    numbers: dict[tuple[Path, str, str], list[int]] = defaultdict(list)
    for file in files:
        if found := _SHARD.fullmatch(file.name):
            numbers[file.parent, found["before"], found["of"]].append(int(found["number"]))
        elif found := _NUMBERED.fullmatch(file.name):
            numbers[file.parent, found["before"], ""].append(int(found["number"]))
    for (folder, before, of), found_numbers in numbers.items():
        _check_numbers(f"{before}*{f'-of-{of}' if of else ''} in {folder}", of, found_numbers)
    if len({of for _, _, of in numbers if of}) > 1:
        raise LabError(
            f"files of two sets of shards: {files[0].name} and {files[-1].name}",
            "shards that agree in how many they are",
            "remove the older ones",
        )
    return sorted(files)


def _check_numbers(shards: str, of: str, numbers: list[int]) -> None:
    count = Counter(numbers)
    twice = [number for number, n in count.items() if n > 1]
    # Numbers that do not count from the beginning, such as years, may have gaps.
    last = int(of) - 1 if of else max(numbers) if min(numbers) <= 1 else -1
    first = 0 if of else min(numbers)
    missing = next((number for number in range(first, last + 1) if number not in count), None)
    if twice or missing is not None:
        fault = f"shard {twice[0]} twice" if twice else f"no shard {missing}"
        raise LabError(
            f"{fault} of {shards}",
            f"the numbers {first} to {max(last, *numbers)}, each once",
            "name the folder of all of them as root:, fetch what is missing, remove what is double",
        )
