"""How weights move: the optimiser, its learning rate over the epochs, and averaged weights."""

from pipeline.training.optimisation.averaging import WeightAverage
from pipeline.training.optimisation.learning_rate import learning_rate, set_learning_rate
from pipeline.training.optimisation.optimizer import clipped_groups, make_optimizer

__all__ = [
    "WeightAverage",
    "clipped_groups",
    "learning_rate",
    "make_optimizer",
    "set_learning_rate",
]
