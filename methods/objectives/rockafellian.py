"""Weights of training samples by Rockafellian relaxation (RRM): mass moves from large losses.

After "Enhancing learning with noisy labels via Rockafellian relaxation" (ICLR 2026), by two
independent accounts of it; no code of the authors is known. Of samples with losses c the weights
w = 1 / N + u minimise sum w c + (gamma / 2) sum |u| over all distributions w.
"""

from torch import Tensor

from methods.losses.common import require


def rockafellian_weights(losses: Tensor, *, gamma: float) -> Tensor:
    """The minimising weights in closed form.

    A sample whose loss is above the smallest one by more than gamma gets 0, and what it had goes
    to the samples of smallest loss, in equal parts; all others keep 1 / N.

    Args:
        losses: floating [N], N >= 1.
        gamma: >= 0, in the unit of the losses; large ones leave all weights equal.

    Returns:
        [N], each >= 0; they sum to 1.
    """
    require(losses.ndim == 1 and len(losses) > 0, "losses [N], N >= 1", losses=list(losses.shape))
    require(gamma >= 0, "gamma >= 0", gamma=gamma)
    least = losses.min()
    out, best = losses > least + gamma, losses == least
    share = out.sum().to(losses) / best.sum()
    return ((~out).to(losses) + best * share) / len(losses)


def gamma_of_rate(losses: Tensor, rate: float) -> float:
    """The gamma that leaves out a share of the samples, quantile(losses, 1 - rate) - min losses.

    Args:
        losses: floating [N].
        rate: in [0, 1]; such as an estimate of the share of wrong labels.
    """
    require(0 <= rate <= 1, "0 <= rate <= 1", rate=rate)
    return float(losses.quantile(1 - rate) - losses.min())


def relaxed(u: Tensor, losses: Tensor, *, gamma: float, step: float) -> Tensor:
    """Deviations u [N] from equal weights after a step towards the minimising ones.

    step u* + (1 - step) u, with u* = `rockafellian_weights` - 1 / N and 0 < step <= 1 (mu).
    """
    require(0 < step <= 1, "0 < step <= 1", step=step)
    aim = rockafellian_weights(losses, gamma=gamma) - 1 / len(losses)
    return step * aim + (1 - step) * u
