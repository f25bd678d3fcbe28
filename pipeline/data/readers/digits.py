"""Handwritten digits: the small real data set that comes with scikit-learn."""

import numpy as np

from pipeline.data.data_spec import DataSpec
from pipeline.data.source import ArrayImages, Source, Split, hold_out

_BRIGHTEST = 16


def read_digits(spec: DataSpec) -> Source:
    """Read the 1,797 grey 8x8 images and split them, by default into 1,437 and 360.

    They are the test part of E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits,
    UCI Machine Learning Repository, 1998.

    Args:
        spec: settings; only `test_rate` matters.

    Returns:
        Images [N, 8, 8, 1] with the sixteen grey levels stretched to 0..255, ten classes.
    """
    # Imported here because it takes a second, which the other sources should not cost.
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    pixels = np.rint(values * (255 / _BRIGHTEST)).astype(np.uint8).reshape(-1, 8, 8, 1)
    whole = Split(ArrayImages(pixels), np.arange(len(labels)), labels.astype(np.int64))
    train, test = hold_out(whole, spec.test_rate)
    return Source(
        train=train,
        test=test,
        class_names=tuple(str(digit) for digit in range(10)),
        image_shape=(8, 8, 1),
        labels="clean",
        description="scikit-learn's handwritten digits",
    )
