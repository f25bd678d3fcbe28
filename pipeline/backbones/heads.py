"""Projection heads between features and a contrastive loss."""

from __future__ import annotations

from typing import Literal

from torch import nn

N_HIDDEN, N_PROJECTED = 512, 128


def projection_head(
    n_features: int,
    n_projected: int = N_PROJECTED,
    norm: Literal["batch", "layer"] = "batch",
    n_hidden: int = N_HIDDEN,
    bias: bool = False,
) -> nn.Sequential:
    """Linear, norm, ReLU, linear with bias (SimCLR, arXiv 2002.05709).

    Args:
        n_features: D of its input.
        n_projected: length of its output.
        norm: batch norm as published, or layer norm, which does not couple the samples of a batch.
        n_hidden: length between both layers.
        bias: whether the first layer has one, too.

    Returns:
        The head; 328,832 parameters for 512 features.
    """
    norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    return nn.Sequential(
        nn.Linear(n_features, n_hidden, bias=bias),
        norms[norm](n_hidden),
        nn.ReLU(inplace=True),
        nn.Linear(n_hidden, n_projected),
    )
