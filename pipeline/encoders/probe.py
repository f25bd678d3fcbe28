"""What frozen features are worth: a vote of neighbours and a linear classifier."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pipeline.encoders.neighbours import MAX_BYTES, Rows, nearest
from pipeline.errors import LabError


def knn_predict(
    train_features: Rows,
    y: Tensor,
    test_features: Rows,
    k: int,
    n_classes: int,
    *,
    max_bytes: int = MAX_BYTES,
) -> Tensor:
    """Class with the most votes among the k nearest training samples, each with one vote.

    Args:
        train_features: floating [N, D].
        y: int64 [N], given labels in [0, K).
        test_features: floating [M, D].
        k: voters, at most N.
        n_classes: K.
        max_bytes: working memory.

    Returns:
        int64 [M], on the device of the features; of classes with as many votes the lowest.

    Raises:
        LabError: for labels of another number, or what `neighbours.nearest` refuses.
    """
    _check_labels(y, train_features)
    found = nearest(test_features, train_features, k, max_bytes=max_bytes)
    votes = [
        one_hot(labels, n_classes).sum(dim=1).argmax(dim=1)
        for labels in y.to(found.row.device)[found.row].split(4096)
    ]
    return torch.cat(votes)


def linear_probe(
    train_features: npt.NDArray[np.floating],
    y: npt.NDArray[np.int64],
    test_features: npt.NDArray[np.floating],
    *,
    inverse_penalty: float = 1.0,
    n_iterations: int = 1000,
) -> npt.NDArray[np.int64]:
    """Classes by logistic regression on features that are scaled to unit variance.

    Args:
        train_features: floating [N, D].
        y: int64 [N], given labels; two classes or more.
        test_features: floating [M, D].
        inverse_penalty: C of scikit-learn, the weight of the data beside the L2 penalty.
        n_iterations: most iterations of the solver (L-BFGS).

    Returns:
        int64 [M].

    Raises:
        LabError: for labels of another number.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _check_labels(y, train_features)
    solver = LogisticRegression(C=inverse_penalty, max_iter=n_iterations)
    model = make_pipeline(StandardScaler(), solver).fit(train_features, y)
    return np.asarray(model.predict(test_features), dtype=np.int64)


def _check_labels(y: Tensor | npt.NDArray[np.int64], features: Rows) -> None:
    if len(y) != len(features):
        raise LabError(f"{len(y)} labels for {len(features)} rows of features", "one label per row")
