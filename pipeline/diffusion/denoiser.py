"""The network that predicts the noise in a label, given image features (arXiv 2305.19518)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class GatedLinear(nn.Module):
    """A linear layer whose outputs are scaled by numbers learned per diffusion step.

    Args:
        n_in: length of the inputs.
        n_out: length of the outputs.
        n_times: rows of the table of gates, initialised uniformly in [0, 1).
    """

    def __init__(self, n_in: int, n_out: int, n_times: int) -> None:
        super().__init__()
        self.lin = nn.Linear(n_in, n_out)
        self.embed = nn.Embedding(n_times, n_out)
        nn.init.uniform_(self.embed.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Outputs [B, n_out] of x [B, n_in] at the steps t, int64 [B] or [1]."""
        return self.embed(t) * self.lin(x)


class NoisePredictor(nn.Module):
    """Noise in a label y_t, from image features, frozen features f_p and the step.

    h = BN(h_x) * s(BN(E_1[t] (W_1 [y_t; f_p] + b_1))), twice more h = s(BN(E[t] (W h + b))), and a
    last linear layer; s is softplus. Names of modules follow the official code, so that its
    checkpoints load; so does the order of initialisation. It trains on two samples or more.

    Args:
        n_classes: K.
        n_features: D, length of f_p; 0 for none.
        width: F, length of the image features and of all hidden layers.
        n_steps: T; the tables of gates have a row more, which is never used.
    """

    compiled_functions = ("denoised",)

    def __init__(self, n_classes: int, n_features: int, width: int, n_steps: int = 1000) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.lin1 = GatedLinear(n_classes + n_features, width, n_steps + 1)
        self.unetnorm1 = nn.BatchNorm1d(width)
        self.lin2 = GatedLinear(width, width, n_steps + 1)
        self.unetnorm2 = nn.BatchNorm1d(width)
        self.lin3 = GatedLinear(width, width, n_steps + 1)
        self.unetnorm3 = nn.BatchNorm1d(width)
        self.lin4 = nn.Linear(width, n_classes)

    def forward(self, h_x: Tensor, y_t: Tensor, t: Tensor, f_p: Tensor | None = None) -> Tensor:
        """Predicted noise.

        Args:
            h_x: float [B, F], features of the image encoder that is trained along.
            y_t: float [B, K], noised labels.
            t: int64 [B], or [1] where all share it, steps in [0, T).
            f_p: float [B, D], features of the frozen encoder; None if D is 0.

        Returns:
            float [B, K].
        """
        return self.denoised(self.norm(h_x), y_t, t, f_p)

    def denoised(self, h: Tensor, y_t: Tensor, t: Tensor, f_p: Tensor | None = None) -> Tensor:
        """As `forward`, of features that `norm` has passed: all steps of a sampler share them."""
        given = y_t if f_p is None else torch.cat([y_t, f_p], dim=1)
        h = h * softplus(self.unetnorm1(self.lin1(given, t)))
        h = softplus(self.unetnorm2(self.lin2(h, t)))
        h = softplus(self.unetnorm3(self.lin3(h, t)))
        return self.lin4(h)
