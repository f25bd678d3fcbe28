"""Losses as pure functions, with the schedules and draws that go with them.

Losses of single samples (all but those named below) are called as
`loss(logits, y, *, <parameters>, reduction="mean")`:

    logits     [B, K], K >= 2, unnormalised. float64 and float32 are computed as they come; half
               precision is raised to float32, below which 1e-6 and 1 + 1e-6 lose their meaning.
    y          [B] int64, class indices. `ce` alone also takes soft targets, [B, K] floating.
    reduction  "mean" gives the batch mean (a scalar), "none" the loss of each sample, [B].

Losses of a batch as a whole (`representation`, and `peer` and `dmi` of `correction`) and terms that
are added to one (`l1`, `class_imbalance`) are scalars and say what they take. `clipped_logits` goes
before any of them. A parameter outside its domain, or shapes that do not belong together,
raise `LabError`. Autocast changes none of them.
"""

from methods.losses.active_negative import (
    anl_ce,
    anl_ce_er,
    anl_fl,
    class_imbalance,
    l1,
    nnce,
    nnfl,
)
from methods.losses.active_passive import (
    nce_and_ael,
    nce_and_agce,
    nce_and_aul,
    nce_and_mae,
    nce_and_rce,
    nfl_and_rce,
)
from methods.losses.asymmetric import ael, agce, aul
from methods.losses.correction import (
    confidence_regularised,
    dmi,
    elr,
    forward_correction,
    hard_bootstrap,
    peer,
    peer_schedule,
    sieve_statistic,
    stable_ce,
)
from methods.losses.distributional import ldr
from methods.losses.epsilon_softmax import (
    eps_ce,
    eps_ce_and_mae,
    eps_fl,
    eps_fl_and_mae,
    epsilon_softmax,
)
from methods.losses.focal import fl, nfl
from methods.losses.logit_clip import clipped_logits
from methods.losses.representation import (
    info_nce,
    negative_cosine,
    powers_of_distances,
    rkd_angle,
    rkd_dis,
)
from methods.losses.robust import (
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
    nlnl,
    rce,
    sce,
    sr,
    sr_schedule,
    tce,
)
from methods.losses.soft_targets import corrected_targets, perturbed_targets, relative_losses

__all__ = [
    "ael",
    "agce",
    "anl_ce",
    "anl_ce_er",
    "anl_fl",
    "aul",
    "btl",
    "ce",
    "class_imbalance",
    "class_weights",
    "clipped_logits",
    "complementary_labels",
    "confidence_regularised",
    "corrected_targets",
    "dal",
    "dal_schedule",
    "dmi",
    "elr",
    "eps_ce",
    "eps_ce_and_mae",
    "eps_fl",
    "eps_fl_and_mae",
    "epsilon_softmax",
    "fl",
    "forward_correction",
    "gce",
    "hard_bootstrap",
    "info_nce",
    "js",
    "l1",
    "ldr",
    "mae",
    "nce",
    "nce_and_ael",
    "nce_and_agce",
    "nce_and_aul",
    "nce_and_mae",
    "nce_and_rce",
    "negative_cosine",
    "nfl",
    "nfl_and_rce",
    "nlnl",
    "nnce",
    "nnfl",
    "peer",
    "peer_schedule",
    "perturbed_targets",
    "powers_of_distances",
    "rce",
    "relative_losses",
    "rkd_angle",
    "rkd_dis",
    "sce",
    "sieve_statistic",
    "sr",
    "sr_schedule",
    "stable_ce",
    "tce",
]
