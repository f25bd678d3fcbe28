"""Array types of the noise room, and where the files lie that a table is made from."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.files import project_root

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Source = np.random.Generator | np.random.RandomState
"""Where uniform numbers come from: `random(n)` means the same for both."""


def project_path(path: str) -> Path:
    """A path of params.yaml: `~` is the home folder, and others are relative to the project."""
    return project_root() / Path(path).expanduser()
