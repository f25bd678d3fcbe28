"""Other draws of the same label noise: one entry of params.yaml, another seed."""

from __future__ import annotations

from pipeline.noise.noise_spec import Hybrid, NoiseSpec

_SEEDS = 2**32


def seed_of(spec: NoiseSpec) -> int | None:
    """The seed that labels are drawn with; None where nothing is drawn.

    Args:
        spec: kind and parameters; of noise on top of noise, the seed of what comes on top.
    """
    of_table = spec.then if isinstance(spec, Hybrid) else spec
    seed: int | None = getattr(of_table, "seed", None)
    return seed


def redrawn(spec: NoiseSpec, seed: int) -> NoiseSpec:
    """The same noise with labels drawn by another seed.

    Args:
        spec: of labels that are drawn, see `seed_of`.
        seed: in [0, 2^32).

    Returns:
        The specification. Of noise on top of noise both seeds move by the same step: two draws
        differ in either part, and parts with different seeds keep different ones.
    """
    if not isinstance(spec, Hybrid):
        return spec.model_copy(update={"seed": seed})
    base, then = seed_of(spec.base), spec.then.seed
    moved = {"then": redrawn(spec.then, seed)}
    if base is not None:
        moved["base"] = redrawn(spec.base, (base + seed - then) % _SEEDS)
    return spec.model_copy(update=moved)
