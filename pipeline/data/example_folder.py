"""A folder of images to try things on: handwritten digits, a fifth of them in a wrong class."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import LabError

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_N_TRAIN, _N_TEST = 800, 200
_WRONG = 0.2
TRUTH = "true_labels.csv"


def write_example(folder: Path) -> int:
    """Write `train/CLASS/NUMBER.png`, `test/CLASS/NUMBER.png` and the true labels of the former.

    Args:
        folder: to make.

    Returns:
        Number of training images in the folder of another class than their own.

    Raises:
        LabError: if there is something of that name.
    """
    # Imported here because it takes a second, which other commands should not cost.
    from sklearn.datasets import load_digits

    if folder.exists():
        raise LabError(f"{folder} exists", "a name that is free", "another name, or remove it")
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)
    true = digits.target.astype(np.int64)
    random = np.random.Generator(np.random.PCG64(0))
    is_wrong = random.random(_N_TRAIN) < _WRONG
    others = random.integers(1, len(_WORDS), _N_TRAIN)
    given = true[: _N_TRAIN + _N_TEST].copy()
    given[:_N_TRAIN] = (given[:_N_TRAIN] + np.where(is_wrong, others, 0)) % len(_WORDS)
    lines = ["file,label"]
    for number, label in enumerate(given.tolist()):
        part = "train" if number < _N_TRAIN else "test"
        file = Path(part, _WORDS[label], f"{number:04}.png")
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).save(folder / file)
        if part == "train":
            lines.append(f"{file.as_posix()},{_WORDS[true[number]]}")
    (folder / TRUTH).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(is_wrong.sum())
