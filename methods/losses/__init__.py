"""Losses as pure functions, with the schedules and draws that go with them.

Losses of single samples (`robust`, and most of `correction`) are called as
`loss(logits, y, *, <parameters>, reduction="mean")`:

    logits     [B, K], K >= 2, unnormalised. float64 and float32 are computed as they come; half
               precision is raised to float32, below which 1e-6 and 1 + 1e-6 lose their meaning.
    y          [B] int64, class indices. `ce` alone also takes soft targets, [B, K] floating.
    reduction  "mean" gives the batch mean (a scalar), "none" the loss of each sample, [B].

Losses of a batch as a whole (`representation`, and `peer` and `dmi` of `correction`) are scalars
and say what they take. A parameter outside its domain, or shapes that do not belong together,
raise `LabError`. Autocast changes none of them.
"""

from methods.losses.correction import (
    confidence_regularised,
    dmi,
    elr,
    forward_correction,
    hard_bootstrap,
    peer,
    peer_schedule,
    stable_ce,
)
from methods.losses.representation import info_nce, powers_of_distances, rkd_angle, rkd_dis
from methods.losses.robust import (
    agce,
    btl,
    ce,
    class_weights,
    complementary_labels,
    dal,
    dal_schedule,
    gce,
    js,
    mae,
    nce,
    nce_and_agce,
    nce_and_rce,
    nlnl,
    rce,
    sce,
    sr,
    sr_schedule,
    tce,
)
from methods.losses.soft_targets import corrected_targets, perturbed_targets, relative_losses

__all__ = [
    "agce",
    "btl",
    "ce",
    "class_weights",
    "complementary_labels",
    "confidence_regularised",
    "corrected_targets",
    "dal",
    "dal_schedule",
    "dmi",
    "elr",
    "forward_correction",
    "gce",
    "hard_bootstrap",
    "info_nce",
    "js",
    "mae",
    "nce",
    "nce_and_agce",
    "nce_and_rce",
    "nlnl",
    "peer",
    "peer_schedule",
    "perturbed_targets",
    "powers_of_distances",
    "rce",
    "relative_losses",
    "rkd_angle",
    "rkd_dis",
    "sce",
    "sr",
    "sr_schedule",
    "stable_ce",
    "tce",
]
