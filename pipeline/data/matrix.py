"""Tables of numbers that others computed: features, softmax outputs."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import LabError
from pipeline.files import project_root

_Floats = npt.NDArray[np.floating[Any]]


def read_matrix(path: str, what: str, n_columns: int | None = None) -> _Floats:
    """Map a two-dimensional .npy file of finite numbers.

    Args:
        path: the file, relative to the project.
        what: what it should hold, for the error.
        n_columns: required second dimension; None for any.

    Returns:
        float [n, n_columns], in the precision of the file.

    Raises:
        LabError: if it is missing, damaged, holds Python objects or has another shape.
    """
    remedy = f"write {what} to {path} with numpy.save"
    try:
        array: _Floats = np.load(project_root() / path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LabError(f"{path} is missing", f"a .npy file with {what}", remedy) from None
    except (ValueError, EOFError) as error:
        raise LabError(
            f"{path} cannot be read ({error})", f"a .npy file with {what}", remedy
        ) from error
    fits = array.ndim == 2 and n_columns in (None, array.shape[-1])
    if not fits or not np.issubdtype(array.dtype, np.floating):
        raise LabError(f"{path} holds {array.dtype} {list(array.shape)}", f"{what}, float", remedy)
    if not np.isfinite(array).all():
        raise LabError(f"{path} holds values that are not finite", what, remedy)
    return array
