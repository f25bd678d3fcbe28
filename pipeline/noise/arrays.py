"""Array types of the noise room."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Source = np.random.Generator | np.random.RandomState
"""Where uniform numbers come from: `random(n)` means the same for both."""
