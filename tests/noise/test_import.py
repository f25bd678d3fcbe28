"""Published label files: reading them safely, checking their order, naming their convention."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pipeline.errors import LabError
from pipeline.noise import alignment, class_maps, transitions
from pipeline.noise.detect import detect
from pipeline.noise.make import make
from pipeline.noise.noise_card import confusion, realised
from pipeline.noise.noise_spec import parse
from pipeline.noise.readers import read_columns, read_labels
from tests.support.noise_cases import REFERENCE, balanced, integers, small_dataset

DATASET = small_dataset()
CLEAN = DATASET.train_labels
NOISY = transitions.draw(CLEAN, transitions.symmetric(0.4, 10), 0)


class Evil:
    """Would make a file if its pickle were run."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def _imported(path: Path, **values: Any) -> Any:
    return make(DATASET, "tried", parse({"kind": "file", "path": str(path), **values}, "tried"))


FRAME = pl.DataFrame({"label": CLEAN, "label_noisy": NOISY})


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
    "plain.csv": FRAME.write_csv,
    "crlf.csv": lambda path: FRAME.write_csv(path, line_terminator="\r\n"),
    "floats.csv": lambda path: FRAME.cast(pl.Float64).write_csv(path),
    "shuffled.parquet": lambda path: (
        FRAME.with_row_index("index").sample(fraction=1, shuffle=True, seed=0).write_parquet(path)
    ),
    "arrays.pt": lambda path: torch.save({"label_noisy": NOISY, "label": CLEAN}, path),
    "lists.pt": lambda path: torch.save({"label_noisy": NOISY.tolist(), "note": "worst"}, path),
    "tensor.pt": lambda path: torch.save(torch.from_numpy(NOISY), path),
    "old.pt": _old_torch_file,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_labels(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    labels = read_labels(tmp_path / name, None)
    assert labels.dtype == np.int64
    assert (labels == NOISY).all()


def test_a_file_with_several_columns_asks_which(tmp_path: Path) -> None:
    torch.save({"worse_label": NOISY, "aggre_label": CLEAN}, tmp_path / "human.pt")
    with pytest.raises(LabError, match="one of: worse_label, aggre_label; name it in `column`"):
        read_labels(tmp_path / "human.pt", None)
    with pytest.raises(LabError, match="try: worse_label"):
        read_labels(tmp_path / "human.pt", "worst_label")


@pytest.mark.parametrize("ending", ["pt", "npy"])
def test_a_pickle_that_would_execute_code_is_refused(tmp_path: Path, ending: str) -> None:
    trap = tmp_path / "executed"
    path = tmp_path / f"labels.{ending}"
    if ending == "pt":
        torch.save({"worse_label": Evil(trap)}, path)
    else:
        np.save(path, np.array([Evil(trap)], dtype=object), allow_pickle=True)
    with pytest.raises(LabError) as caught:
        read_columns(path)
    assert not trap.exists()
    assert "\n" not in str(caught.value)
    path.write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(LabError):
        read_columns(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.txt", b"1\n2\n", "ends in '.txt'"),
        ("labels.npy", b"no array", "cannot be read"),
        ("labels.parquet", b"no table", "cannot be read"),
        ("labels.csv", b"a,b\nx,y\n", "no vector of whole numbers"),
        ("labels.csv", b"a\n0.5\n1.5\n", "no vector of whole numbers"),
    ],
)
def test_broken_files_are_one_clear_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabError, match=message) as caught:
        read_columns(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.concatenate([NOISY, NOISY]), "1200 labels; 1 to 600 labels"),
        (NOISY[:0], "holds 0 labels"),
        (NOISY + 1, "count from 1"),
        (NOISY - 1, "labels from -1 to 8"),
        (np.where(NOISY == 0, 10, NOISY), "labels from 1 to 10"),
        (np.roll(NOISY, 1), "1 position.s. too late"),
        (np.roll(NOISY, -2), "2 position.s. too early"),
        ((NOISY + 1) % 10, r"class ids are shifted by \+1"),
        (NOISY[::-1], "the order is reversed"),
        (np.random.default_rng(0).permutation(NOISY), "find out the order"),
    ],
)
def test_labels_of_another_order_are_refused_and_the_reason_named(
    tmp_path: Path, labels: Any, message: str
) -> None:
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(LabError, match=message):
        _imported(tmp_path / "labels.npy")


def test_agreement_at_chance_is_recognised() -> None:
    """`SIGMAS` = 6 standard deviations: a false alarm in 1e-9 of cases, so none in 2000."""
    rng = np.random.default_rng(0)
    clean = balanced(1000, 10)
    assert not any(alignment.above_chance(clean, rng.permutation(clean), 10) for _ in range(2000))
    noisy = transitions.draw(clean, transitions.symmetric(0.8, 10), 0)
    assert alignment.above_chance(clean, noisy, 10)


def test_an_imported_file_is_a_table_like_any_other(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", NOISY[:450])
    made = _imported(tmp_path / "labels.npy", convention="symmetric", rate=0.4)
    assert made.card.n == 450
    assert made.card.convention == "symmetric"
    assert made.card.nominal_rate == 0.4
    assert made.card.seed is None
    assert made.card.details["file"] == "labels.npy"
    assert made.card.realised_rate == np.mean(NOISY[:450] != CLEAN[:450])


def test_the_first_labels_of_a_file_make_a_table_of_the_first_images(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", NOISY)
    table = _imported(tmp_path / "whole.npy", first=200, convention="symmetric", rate=0.4)
    np.testing.assert_array_equal(table.y_noisy, NOISY[:200])
    assert (table.card.n, table.index.tolist()) == (200, list(range(200)))


def test_a_stated_convention_is_checked_against_the_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", NOISY)
    with pytest.raises(LabError, match="said to be pair, but targets are uniform"):
        _imported(tmp_path / "labels.npy", convention="pair")
    assert _imported(tmp_path / "labels.npy", convention="someone's own").card.convention


def test_a_file_is_the_only_noise_without_clean_labels_and_must_fit_the_given(
    tmp_path: Path,
) -> None:
    given = small_dataset(given=True)
    spec = parse({"kind": "file", "path": str(tmp_path / "labels.npy")}, "tried")
    np.save(tmp_path / "labels.npy", NOISY)
    made = make(given, "tried", spec)
    assert made.y_clean is None
    assert made.card.realised_rate is None
    np.save(tmp_path / "labels.npy", np.roll(NOISY, 1))
    with pytest.raises(LabError, match="too late"):
        make(given, "tried", spec)


@pytest.mark.parametrize(
    ("file", "nominal", "expected"),
    [
        ("label_symmetric_cifar10_20", 0.2, {"symmetric-inclusive"}),
        ("label_symmetric_cifar10_60", 0.6, {"symmetric-inclusive"}),
        ("label_symmetric_cifar100_60", 0.6, {"symmetric-inclusive", "symmetric"}),
        ("data_CIFAR10_label_noisy_sym0.4", 0.4, {"symmetric"}),
        ("label_asymmetric_cifar10_20", 0.2, {"asymmetric/cifar10"}),
        ("data_CIFAR10_label_noisy_asym0.4", 0.4, {"asymmetric/cifar10"}),
        ("label_asymmetric_cifar100_20", 0.2, {"asymmetric/superclass_next"}),
        ("label_instance_cifar10_20", 0.2, {"uneven"}),
        ("data_CIFAR100_label_noisy_dependent0.4", 0.4, {"uneven"}),
        ("noise_label_cifar10-1-0.35", 0.35, {"uneven"}),
        ("noise_label_cifar100-1-0.35_A_0.3", None, {"uneven"}),
    ],
)
def test_published_counts_show_their_convention(
    file: str, nominal: float | None, expected: set[str]
) -> None:
    counts = integers(f"files_{file}")
    assert set(detect(counts, nominal).conventions) == expected
    found = realised(counts)
    assert found.rate == pytest.approx(float(REFERENCE[f"files_{file}_rate"]), abs=1e-12)
    rates = np.array(found.per_class, float)
    np.testing.assert_allclose(rates, REFERENCE[f"files_{file}_rates"], atol=1e-6)


@pytest.mark.parametrize("kind", ["next_class", "block5"])
def test_the_other_maps_are_recognised_too(kind: str) -> None:
    clean = balanced(50_000, 100)
    matrix = transitions.along_map(0.4, class_maps.named_map(kind, 100))
    found = detect(confusion(clean, transitions.draw(clean, matrix, 0), 100))
    assert found.conventions[0] == f"asymmetric/{kind}"
    assert ("pair" in found.conventions) == (kind == "next_class")


def test_clean_labels_and_unknown_maps_have_names() -> None:
    assert detect(np.diag([5, 5, 5])).conventions == ("clean",)
    assert detect(np.array([[5, 0, 2], [0, 5, 0], [0, 0, 5]])).conventions == ("asymmetric",)


def test_uniform_detection_rarely_errs() -> None:
    """300 draws at a false alarm of 1e-5 each: one failure in 330 runs of other seeds."""
    clean = balanced(5000, 10)
    for seed in range(300):
        noisy = transitions.draw(clean, transitions.symmetric(0.4, 10), seed)
        assert "symmetric" in detect(confusion(clean, noisy, 10), 0.4).conventions
