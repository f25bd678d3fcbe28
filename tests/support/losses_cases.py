"""Losses with their parameters, logits by formula, and evaluation, for the tests of losses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from methods import losses

Loss = Callable[..., Tensor]


def dal_in_epoch(epoch: int, n_epochs: int, q_start: float, q_end: float) -> Loss:
    q, weight = losses.dal_schedule(epoch, n_epochs, q_start, q_end)
    return partial(losses.dal, q=q, bootstrap_weight=weight)


def sr_in_epoch(epoch: int, initial: float) -> Loss:
    weight = losses.sr_schedule(epoch, initial, 1.02)
    return partial(losses.sr, tau=0.5, p=0.01, weight=weight)


REFERENCE_CASES: dict[str, Loss] = {
    "ce": losses.ce,
    "gce_q07": partial(losses.gce, q=0.7),
    "gce_q05": partial(losses.gce, q=0.5),
    "sce_a10_b01": partial(losses.sce, alpha=10, beta=0.1),
    "sce_a50_b01": partial(losses.sce, alpha=50, beta=0.1),
    "sce_a01_b1": partial(losses.sce, alpha=0.1, beta=1),
    "btl_07_15": partial(losses.btl, t1=0.7, t2=1.5),
    "btl_08_12": partial(losses.btl, t1=0.8, t2=1.2),
    "nce_rce_a10_b01": partial(losses.nce_and_rce, alpha=10, beta=0.1),
    "nce_rce_a50_b01": partial(losses.nce_and_rce, alpha=50, beta=0.1),
    "nce_rce_a1_b1": partial(losses.nce_and_rce, alpha=1, beta=1),
    "tce_t18": partial(losses.tce, t=18),
    "tce_t6": partial(losses.tce, t=6),
    "tce_t2": partial(losses.tce, t=2),
    "nce_agce_def": partial(losses.nce_and_agce, alpha=10, beta=0.1, a=3, q=0.7),
    "nce_agce_alt": partial(losses.nce_and_agce, alpha=1, beta=4, a=6, q=1.5),
    "agce_web": partial(losses.agce, a=1e-5, q=0.5),
    "agce_ctor": partial(losses.agce, a=1, q=2),
    "sr_cifar_e0": sr_in_epoch(0, 8),
    "sr_cifar_e74": sr_in_epoch(74, 8),
    "sr_cifar_e149": sr_in_epoch(149, 8),
    "sr_web_e0": sr_in_epoch(0, 2),
    "sr_web_e249": sr_in_epoch(249, 2),
    "js_pi05": partial(losses.js, pi=0.5),
    "js_pi01": partial(losses.js, pi=0.1),
    "js_pi09": partial(losses.js, pi=0.9),
    "dal_cifar_e0": dal_in_epoch(0, 150, 0.6, 1.5),
    "dal_cifar_e66": dal_in_epoch(66, 150, 0.6, 1.5),
    "dal_cifar_e67": dal_in_epoch(67, 150, 0.6, 1.5),
    "dal_cifar_e100": dal_in_epoch(100, 150, 0.6, 1.5),
    "dal_cifar_e149": dal_in_epoch(149, 150, 0.6, 1.5),
    "dal_web_e0": dal_in_epoch(0, 250, 0.4, 1.5),
    "dal_web_e136": dal_in_epoch(136, 250, 0.4, 1.5),
    "dal_web_e137": dal_in_epoch(137, 250, 0.4, 1.5),
    "dal_web_e249": dal_in_epoch(249, 250, 0.4, 1.5),
    "nlnl_N110": losses.nlnl,
    "nlnl_N1": losses.nlnl,
    "nlnl_N2_noweights": losses.nlnl,
}

DEFAULTS: dict[str, Loss] = {
    "ce": losses.ce,
    "mae": losses.mae,
    "gce": partial(losses.gce, q=0.7),
    "sce": partial(losses.sce, alpha=10, beta=0.1),
    "nce": losses.nce,
    "rce": losses.rce,
    "nce_and_rce": partial(losses.nce_and_rce, alpha=10, beta=0.1),
    "tce": partial(losses.tce, t=18),
    "agce": partial(losses.agce, a=1e-5, q=0.5),
    "nce_and_agce": partial(losses.nce_and_agce, alpha=10, beta=0.1, a=3, q=0.7),
    "sr": partial(losses.sr, tau=0.5, p=0.01, weight=8),
    "js": partial(losses.js, pi=0.5),
    "btl": partial(losses.btl, t1=0.7, t2=1.5),
    "dal": partial(losses.dal, q=1.05, bootstrap_weight=0.5),
}


def evaluate(loss: Loss, logits: Tensor, y: Tensor, **parameters: Any) -> tuple[Tensor, Tensor]:
    """Loss and its gradient with respect to the logits."""
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, y, **parameters)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def wave(n_classes: int, scale: float) -> tuple[Tensor, Tensor]:
    """Deterministic float32 logits that reach the clamps at scale 40, and labels."""
    i = torch.arange(8 if n_classes == 10 else 16)[:, None]
    j = torch.arange(n_classes)
    phase = 1 + 0.7 * i.double() + 1.3 * j.double() + 0.11 * (i * j).double()
    return (scale * phase.sin()).float(), (7 * i.squeeze(1) + 3) % n_classes
