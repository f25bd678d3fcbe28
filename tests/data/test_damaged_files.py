"""Files with changed, lost or added bytes: one line, or the data as they were; never a crash."""

import gzip
import io
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import load_dataset, prepare_dataset
from pipeline.data.images.decode import ENDINGS_OF, open_rgb
from pipeline.data.readers.cifar_archive import read_batches
from pipeline.data.readers.safe_pickle import read_pickle
from pipeline.errors import LabError
from tests.support.data_files import pictures, write_class_folders, write_parquet
from tests.support.large_data_files import write_clothing

N_MUTATIONS = 60
NUMBERS = [0, 1, 2] * 10


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that is empty but for `source`, which the tests fill."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    (tmp_path / "source").mkdir()
    return tmp_path


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """Content with some bytes changed, cut off, doubled or put in."""
    place = int(draw.integers(len(content)))
    some = draw.bytes(int(draw.integers(1, 9)))
    match draw.integers(5):
        case 0:
            flipped = content[place] ^ (1 << int(draw.integers(8)))
            return content[:place] + bytes([flipped]) + content[place + 1 :]
        case 1:
            return content[:place]
        case 2:
            return content[:place] + some + content[place + len(some) :]
        case 3:
            return content[:place] + some + content[place:]
    return content[:place] + content[place // 2 :]


def survives(work: Callable[[], object]) -> bool:
    """Whether it worked; LabError of a bounded length is the only other way to end."""
    try:
        work()
    except LabError as error:
        message = str(error)
        assert "\n" not in message
        assert len(message) < 600
        assert "; expected: " in message
        assert "; try: " in message
        return False
    return True


def mutations(file: Path, seed: int, n: int = N_MUTATIONS) -> list[bytes]:
    """Mutations of a file, in its first bytes (headers) and anywhere."""
    draw, content = np.random.default_rng(seed), file.read_bytes()
    head = [mutated(content[:150], draw) + content[150:] for _ in range(n // 2)]
    return [change for change in (*head, *(mutated(content, draw) for _ in range(n // 2)))
            if change != content]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["train_images.npy", "train_labels.npy", "test_labels.npy", "card.json"]
)
def test_no_change_to_a_prepared_data_set_passes(root: Path, name: str) -> None:
    prepare_dataset("digits", DataSpec(kind="digits"))
    file = root / "data/digits" / name
    content, before = file.read_bytes(), load_dataset("digits").card
    for change in mutations(file, seed=len(name)):
        file.write_bytes(change)
        # Bytes behind the array, or white space of the card, may change: they hold nothing.
        if survives(lambda: load_dataset("digits")):
            assert load_dataset("digits", verify=True).card == before
    file.write_bytes(content)
    load_dataset("digits")


def test_no_change_to_an_index_table_passes(root: Path) -> None:
    write_clothing(root / "source")
    prepare_dataset("large", DataSpec(kind="clothing1m", root="source", complete=False))
    before = load_dataset("large")
    file = root / "data/large/train.parquet"
    for change in mutations(file, seed=1):
        file.write_bytes(change)
        if survives(lambda: load_dataset("large")):
            after = load_dataset("large")
            assert after.train_files == before.train_files
            np.testing.assert_array_equal(after.train_labels, before.train_labels)


def test_damaged_parquet_of_ones_own_is_named_or_read(root: Path) -> None:
    file = root / "source/train.parquet"
    write_parquet(file, pictures(30, size=4), label=NUMBERS)
    spec = DataSpec(kind="parquet", root="source", image_size=4, on_bad_image="skip")
    for change in mutations(file, seed=2, n=30):
        file.write_bytes(change)
        survives(lambda: prepare_dataset("mine", spec))


@pytest.mark.parametrize("kind", sorted(ENDINGS_OF))
def test_damaged_images_are_named_or_read(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(pictures(1, size=24)[0]).save(file, kind)
    content, draw = file.getvalue(), np.random.default_rng(3)
    for _ in range(N_MUTATIONS):
        change = mutated(content, draw)
        survives(lambda: open_rgb(change, "image", upright=True))  # noqa: B023 - called at once


def test_an_image_that_unpacks_to_gigabytes_is_refused() -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10**6), 9)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    with pytest.raises(LabError, match=r"has 9000 x 9000 pixels; expected: 67,108,864 pixels"):
        open_rgb(bomb, "image")


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"\x80\x02]r\xff\xff\xff\x7f.", id="stored at place two billion"),
        pytest.param(b"\x80\x02" + b"]" * 3_000_000 + b".", id="millions of steps"),
        pytest.param(b"(" * 100_000 + b"t" * 100_000 + b".", id="deep"),
        pytest.param(b"}(L" + b"9" * 6000 + b"L\nNu.", id="a long number"),
        pytest.param(b"}(" + b"(" * 90_000 + b"t" * 90_000 + b"Nu.", id="a deep key"),
    ],
)
def test_pickles_that_would_take_time_or_memory_are_refused(bomb: bytes) -> None:
    assert not survives(lambda: read_pickle(bomb, "batch"))


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def chain_of_headers() -> bytes:
    """Thousands of extended headers, each of the next."""
    info = tarfile.TarInfo("x")
    info.type = tarfile.XHDTYPE
    return gzip.compress(info.tobuf() * 5000)


def many_members() -> bytes:
    return gzip.compress(tar_of(*((tarfile.TarInfo(f"file{i}"), b"") for i in range(2000))))


def long_member() -> bytes:
    info = tarfile.TarInfo("data_batch_1")
    info.size = 2**28 + 1
    # A file of several gzip streams is one stream.
    return gzip.compress(info.tobuf()) + 257 * gzip.compress(bytes(2**20))


@pytest.mark.parametrize("made", [chain_of_headers, many_members, long_member])
def test_archives_that_would_take_time_or_memory_are_refused(
    tmp_path: Path, made: Callable[[], bytes]
) -> None:
    archive = tmp_path / "copy.tar.gz"
    archive.write_bytes(made())
    assert not survives(lambda: read_batches(archive, ["data_batch_1"], "labels", {}))


def test_damaged_archives_are_named_or_read(tmp_path: Path) -> None:
    plain = tar_of((tarfile.TarInfo("data_batch_1"), pickle.dumps({"data": 1}, protocol=2)))
    draw = np.random.default_rng(4)
    archive = tmp_path / "copy.tar.gz"
    for _ in range(N_MUTATIONS):
        archive.write_bytes(gzip.compress(mutated(plain[:2048], draw)))
        survives(lambda: read_batches(archive, ["data_batch_1"], "labels", {"data_batch_1": ""}))


def test_a_class_folder_with_bad_images_goes_on_without_them(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pictures(30)
    write_class_folders(root / "source", images, ["cat", "dog", "eel"] * 10)
    (root / "source/cat/00000.png").write_bytes(b"no image")
    (root / "source/eel/00005.png").write_bytes((root / "source/eel/00002.png").read_bytes()[:900])
    (root / "source/eel/00008.png").unlink()
    (root / "source/eel/00008.png").symlink_to(root / "nowhere")
    spec = DataSpec(kind="imagefolder", root="source", image_size=32, on_bad_image="skip")
    card = prepare_dataset("mine", spec)
    assert card.left_out == {"images that cannot be decoded": 3}
    assert "mine: left out: images that cannot be decoded (3)" in capsys.readouterr().out
    dataset = load_dataset("mine", verify=True)
    assert dataset.train_files is not None
    assert card.n_train + card.n_test == 27
    for file, pixels, label in zip(
        dataset.train_files, dataset.train_images, dataset.train_labels, strict=True
    ):
        name, number = file.split("/")
        np.testing.assert_array_equal(pixels, images[int(number.removesuffix(".png"))])
        assert card.class_names[label] == name
    with pytest.raises(LabError, match=r"cat/00000\.png cannot be decoded .*on_bad_image: skip"):
        prepare_dataset("mine", spec.model_copy(update={"on_bad_image": "stop"}))
