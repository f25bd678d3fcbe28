"""Small data sets and reference vectors for the tests of label noise."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.dataset import DataCard, Dataset
from pipeline.files import data_folder
from pipeline.identity import array_digest
from tests.support.paths import REFERENCES

REFERENCE = np.load(REFERENCES / "noise_reference.npz")
"""rrr: synthetic labels and 4 x 4 images (every pixel repeated 8 x 8) with what RRR's generators
return for them. files: counts clean x noisy of published label files, their rates by class."""

CIFAR10_HEAD = np.array([6, 9, 9, 4, 1, 1, 2, 7, 8, 3, 4, 7])
"""The first twelve clean labels of CIFAR-10 in archive order."""
CIFAR100_HEAD = np.array([19, 29, 0, 11, 1, 86, 90, 28, 23, 31, 39, 96])
"""The first twelve clean labels of CIFAR-100 in archive order."""


def integers(key: str) -> npt.NDArray[np.int64]:
    """An array of the reference file as int64."""
    return np.asarray(REFERENCE[key], np.int64)


def balanced(n: int, n_classes: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Labels with equal class sizes in random order: int64 [n]."""
    return np.random.default_rng(seed).permutation(np.arange(n) % n_classes)


def small_dataset(
    n: int = 600,
    n_classes: int = 10,
    given: bool = False,
    side: int = 4,
    pixels: int = 1,
    **card: Any,
) -> Dataset:
    """Images whose brightness tells the class; `given` leaves out the clean labels.

    Other `pixels` are other images with the same labels.
    """
    labels = balanced(n, n_classes)
    rng = np.random.default_rng(pixels)
    images = np.clip(
        labels[:, None, None, None] * (200 // n_classes) + rng.integers(0, 60, (n, side, side, 1)),
        0,
        255,
    ).astype(np.uint8)
    described: dict[str, Any] = {
        "name": "small",
        "kind": "digits",
        "n_train": n,
        "n_test": 1,
        "n_classes": n_classes,
        "class_names": tuple(f"class{c}" for c in range(n_classes)),
        "image_shape": (side, side, 1),
        "labels": "given" if given else "clean",
        "has_clean": not given,
        "digest": array_digest(images, labels, images[:1], labels[:1]),
        "mean": (0.5,),
        "std": (0.25,),
        "source": "a test",
    }
    return Dataset(DataCard(**(described | card)), images, labels, images[:1], labels[:1])


def softmax_rows(
    labels: npt.NDArray[np.int64], n_classes: int, sharpness: float = 3.0, seed: int = 0
) -> npt.NDArray[np.float64]:
    """A posterior that mostly favours the labels: float64 [n, K], rows sum to one."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), n_classes))
    logits[np.arange(len(labels)), labels] += sharpness
    shares = np.exp(logits)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def lay_out(dataset: Dataset) -> Dataset:
    """Put a data set into the laboratory that `LNL_ROOT` names, as if it had been prepared."""
    folder = data_folder(dataset.card.name)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "train_images.npy", dataset.train_images)
    np.save(folder / "train_labels.npy", dataset.train_labels)
    np.save(folder / "test_images.npy", dataset.test_images)
    np.save(folder / "test_labels.npy", dataset.test_labels)
    dataset.card.write(folder)
    return dataset
