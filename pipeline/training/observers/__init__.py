"""What the training pass itself tells: memorisation, per-sample dynamics and softmax outputs.

No extra forward pass: observers see the logits of each step.
"""

from pipeline.training.observers.dynamics import LOSS_MEMORY, Dynamics
from pipeline.training.observers.ledger import Ledger
from pipeline.training.observers.posterior import Posterior, has_posterior, posterior_address
from pipeline.training.observers.sightings import Sighted, Sightings

__all__ = [
    "LOSS_MEMORY",
    "Dynamics",
    "Ledger",
    "Posterior",
    "Sighted",
    "Sightings",
    "has_posterior",
    "posterior_address",
]
