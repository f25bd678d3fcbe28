"""How fast a run trained, and what share of its device that is."""

from __future__ import annotations

import statistics
from functools import cache

import torch

from pipeline.backbones import Backbone, make_backbone
from pipeline.training.loop import Session

PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H800": 989e12,
    "GH200": 989e12, "B200": 2250e12, "A100": 312e12, "A800": 312e12, "A40": 150e12,
    "A10G": 70e12, "A10": 125e12, "L40S": 362e12, "L40": 181e12, "L4": 121e12, "V100": 125e12,
    "RTX 4090": 165e12, "RTX 5090": 209e12,
}  # fmt: skip
"""Dense bf16 operations per second by part of the name, as the makers state them (V100: fp16)."""


def nominal_peak(device: str) -> float | None:
    """Dense bf16 operations per second that a GPU is said to do; None where unknown."""
    found = [part for part in PEAKS if part in device]
    return PEAKS[max(found, key=len)] if found else None


@cache
def training_operations(network: str, n_classes: int, shape: tuple[int, int, int]) -> float:
    """Operations of the forward and backward pass of one image, as torch counts them.

    Args:
        network: name of the backbone.
        n_classes: K.
        shape: of the image, [C, H, W].
    """
    # A tenth of a second, which devices without a known peak do without.
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        module, images = make_backbone(network, n_classes, shape[0]), torch.empty(2, *shape)
    with FlopCounterMode(display=False) as counter:
        module(images).sum().backward()
    return counter.get_total_flops() / 2


def images_per_second(session: Session) -> float | None:
    """Training images a second of the median epoch, which no start-up is part of."""
    speeds = session.progress.speeds
    return statistics.median(speeds) if speeds else None


def share_of_peak(session: Session, image_shape: tuple[int, int, int]) -> float | None:
    """Share of the devices' peak that one pass of the network over its training images takes.

    Args:
        session: that has ended.
        image_shape: height, width, channels.

    Returns:
        A fraction; None on a device whose peak is unknown, and without a network that is trained.
    """
    speed, peak = images_per_second(session), nominal_peak(session.processes.kind)
    if speed is None or peak is None or not _trains_a_network(session):
        return None
    height, width, channels = image_shape
    shape, settings = (channels, height, width), session.settings
    operations = training_operations(settings.backbone, session.context.n_classes, shape)
    return speed * operations / (peak * session.processes.n_processes)


def _trains_a_network(session: Session) -> bool:
    networks = [module for module in session.method.modules() if isinstance(module, Backbone)]
    return any(p.requires_grad for network in networks for p in network.parameters())


def in_words(images: float | None, share: float | None) -> str:
    """Both in words; nothing where the speed is unknown."""
    if images is None:
        return ""
    of_peak = "" if share is None else f", {share:.1%} of the device's bf16 peak"
    return f"{images:,.0f} training images a second{of_peak}"
