"""Over-parametrised labels (SOP): every sample has numbers of its own that explain a wrong label.

Definitions are those of Liu, Zhu, Qu, You: Robust training under label noise by
over-parameterization (ICML 2022) and its official code (4d991ce).
"""

from torch import Tensor
from torch.nn import functional

from methods.losses.common import (
    Reduction,
    at_label,
    at_least_single,
    one_hot,
    reduce,
    require,
    widened,
)

LEAST = 1e-4
"""Least entry of a shifted prediction, and of its mean over a batch."""


def label_shifts(u: Tensor, v: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What is added to a prediction at the given label, and what is taken off elsewhere.

    Args:
        u: [B, 1], of the samples.
        v: [B, K].
        y: int64 [B].

    Returns:
        U = clamp(u^2 onehot(y), 0, 1) and V = clamp(v^2 (1 - onehot(y)), 0, 1), [B, K] each: u
        moves the label's entry only, v all the others.
    """
    require(u.shape == (len(y), 1) and v.shape[:1] == y.shape, "u [B, 1], v [B, K], y [B]",
            u=list(u.shape), v=list(v.shape), y=list(y.shape))  # fmt: skip
    given = one_hot(y, v)
    return (u.square() * given).clamp(0, 1), (v.square() * (1 - given)).clamp(0, 1)


def sop(
    logits: Tensor, y: Tensor, *, u: Tensor, v: Tensor, reduction: Reduction = "mean"
) -> tuple[Tensor, Tensor]:
    """Loss of SOP, -ln q_y + |onehot(argmax p) + U - V - onehot(y)|^2, with U, V of `label_shifts`.

    q = p + U - V is clamped to 1e-4, divided by its sum and clamped again; V takes no gradient
    there, and the predicted class none. So v learns from the square alone, the network from the
    logarithm, u from both.

    Args:
        logits: [B, K].
        y: int64 [B].
        u: [B, 1], rows of the samples.
        v: [B, K], rows of the samples.
        reduction: of the loss.

    Returns:
        The loss, and the shifted predictions q [B, K], from 1e-4 to 1.
    """
    wide = widened(logits, y)
    require(v.shape == wide.shape, f"v {list(wide.shape)}", v=list(v.shape))
    above, below = label_shifts(u.to(wide), v.to(wide), y)
    q = (wide.softmax(1) + above - below.detach()).clamp(min=LEAST)
    q = (q / q.sum(1, keepdim=True).clamp(min=LEAST)).clamp(LEAST, 1)
    predicted = one_hot(wide.argmax(1), wide)
    off = (predicted + above - below - one_hot(y, wide)).square().sum(1)
    return reduce(off - at_label(q, y).log(), reduction), q


def class_balance(q: Tensor) -> Tensor:
    """Mean over classes of -ln of the mean q over a batch, at least ln K: small where all occur.

    q [B, K], rows of probabilities; the means are clamped to [1e-4, 1]. A function of the whole
    batch.
    """
    return -q.mean(0).clamp(LEAST, 1).log().mean()


def consistency(logits: Tensor, other: Tensor) -> Tensor:
    """Mean KL(softmax(logits) || softmax(other)) of two views, [B, K] each; none into the first.

    The first view is the teacher: no gradient flows into it.
    """
    teacher = at_least_single(logits.detach()).log_softmax(1)
    student = functional.log_softmax(at_least_single(other), 1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
