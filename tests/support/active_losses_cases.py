"""Cases of the losses of active passive, asymmetric and active negative papers, for their tests."""

from functools import partial

from torch import Tensor

from methods import losses
from tests.support.losses_cases import Loss


def with_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Active negative cross entropy with its entropy term, as trained on CIFAR-10."""
    per_sample = losses.anl_ce_er(logits, y, alpha=5, beta=5)
    return per_sample + 2 * losses.class_imbalance(logits)


def clipped(threshold: float, length: float, eps: float, p: float = 2.0) -> Loss:
    """Cross entropy on clipped logits."""

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        near = losses.clipped_logits(logits, threshold=threshold, length=length, p=p, eps=eps)
        return losses.ce(near, y)

    return loss


ACTIVE_CASES: dict[str, Loss] = {
    "alf_agce_a06_q06": partial(losses.agce, a=0.6, q=0.6),
    "alf_aul_a55_q3": partial(losses.aul, a=5.5, q=3),
    "alf_aul_a15_q09": partial(losses.aul, a=1.5, q=0.9),
    "alf_ael_a25": partial(losses.ael, a=2.5),
    "alf_nce_agce": partial(losses.nce_and_agce, alpha=1, beta=4, a=6, q=1.5),
    "alf_nce_aul": partial(losses.nce_and_aul, alpha=1, beta=4, a=6.3, q=1.5),
    "alf_nce_ael": partial(losses.nce_and_ael, alpha=1, beta=4, a=5),
    "alf_nce_aul_c100": partial(losses.nce_and_aul, alpha=10, beta=0.015, a=6, q=3),
    "alf_nce_ael_c100": partial(losses.nce_and_ael, alpha=10, beta=0.1, a=1.5),
    "alf_nfl_rce_c10": partial(losses.nfl_and_rce, alpha=1, beta=1, gamma=0.5),
    "alf_nfl": partial(losses.nfl, gamma=0.5),
    "alf_fl": partial(losses.fl, gamma=0.5),
    "alf_nce_mae": partial(losses.nce_and_mae, alpha=1, beta=1),
    "alf_mae_default": lambda logits, y: 2 * losses.mae(logits, y),
    "anl_nce_mae": partial(losses.nce_and_mae, alpha=1, beta=1),
    "anl_nfl_rce_c100": partial(losses.nfl_and_rce, alpha=10, beta=0.1, gamma=0.5),
    "anl_sce_c10": partial(losses.sce, alpha=0.1, beta=1, clamp=1e-7),
    "anl_gce": partial(losses.gce, q=0.7, clamp=1e-7),
    "anl_nnce": losses.nnce,
    "anl_nnfl": partial(losses.nnfl, gamma=0.5),
    "anl_ce_c10": partial(losses.anl_ce, alpha=5, beta=5),
    "anl_ce_c100": partial(losses.anl_ce, alpha=10, beta=1),
    "anl_fl_c10": partial(losses.anl_fl, alpha=5, beta=5, gamma=0.5),
    "anl_ce_er_c10": with_entropy,
    "eps_ece_m1e5": partial(losses.eps_ce, m=1e5),
    "eps_ece_m10": partial(losses.eps_ce, m=10),
    "eps_ece_mae_c10_sym": partial(losses.eps_ce_and_mae, m=1e5, alpha=0.01, beta=5),
    "eps_ece_mae_c10_asym": partial(losses.eps_ce_and_mae, m=1e3, alpha=0.02, beta=5),
    "eps_ece_mae_c100_s40": partial(losses.eps_ce_and_mae, m=1e4, alpha=0.03, beta=1),
    "eps_efl_mae_c10_sym": partial(losses.eps_fl_and_mae, m=1e5, alpha=0.01, beta=5, gamma=0.1),
    "eps_nce_nnce_c10": partial(losses.anl_ce, alpha=5, beta=5, clamp=1e-8),
    "eps_ce_lc_d1": clipped(1, 1, 1e-8),
    "eps_ce_lc_d15": clipped(1 / 1.5, 1.5, 1e-8),
    "eps_ce_lc_d05": clipped(2, 0.5, 1e-8),
    "eps_ldr": partial(losses.ldr, tau=10),
    "lc_clip_t1": clipped(1, 1, 1e-7),
    "lc_clip_t15": clipped(1.5, 1 / 1.5, 1e-7),
    "lc_clip_t05": clipped(0.5, 2, 1e-7),
    "lc_clip_t1_p1": clipped(1, 1, 1e-7, p=1),
}
"""Losses of the reference vectors by the names of these, but for the one with an L1 norm."""

ACTIVE_DEFAULTS: dict[str, Loss] = {
    "fl": partial(losses.fl, gamma=0.5),
    "nfl": partial(losses.nfl, gamma=0.5),
    "nfl_and_rce": partial(losses.nfl_and_rce, alpha=1, beta=1, gamma=0.5),
    "nce_and_mae": partial(losses.nce_and_mae, alpha=1, beta=1),
    "aul": partial(losses.aul, a=1.5, q=0.9),
    "ael": partial(losses.ael, a=2.5),
    "nce_and_aul": partial(losses.nce_and_aul, alpha=1, beta=4, a=6.3, q=1.5),
    "nce_and_ael": partial(losses.nce_and_ael, alpha=1, beta=4, a=5),
    "nnce": losses.nnce,
    "nnfl": partial(losses.nnfl, gamma=0.5),
    "anl_ce": partial(losses.anl_ce, alpha=5, beta=5),
    "anl_fl": partial(losses.anl_fl, alpha=5, beta=5, gamma=0.5),
    "eps_ce": partial(losses.eps_ce, m=1e5),
    "eps_fl": partial(losses.eps_fl, m=1e5, gamma=0.1),
    "eps_ce_and_mae": partial(losses.eps_ce_and_mae, m=1e5, alpha=0.01, beta=5),
    "eps_fl_and_mae": partial(losses.eps_fl_and_mae, m=1e5, alpha=0.01, beta=5, gamma=0.1),
    "ldr": partial(losses.ldr, tau=10),
}
"""Losses of single samples with parameters that CIFAR-10 is trained with."""
