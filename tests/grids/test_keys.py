"""Stored numbers stay valid: the keys of the shipped grid are those under which runs are stored."""

import shutil

from pipeline.config import Params, read_params
from pipeline.grids.cells import cells
from pipeline.identity import digest
from tests.support.paths import PROJECT


def test_the_shipped_grid_has_the_keys_it_always_had(lab):
    """If this fails, runs stored anywhere are computed again: raise a version, and say why."""
    shutil.copy(PROJECT / "params.yaml", lab / "params.yaml")
    shipped = read_params()
    # Labels that follow from products of matrices may differ between processors.
    exact = [noise for noise in shipped.grid.noises if not noise.startswith("instance")]
    params = Params.model_validate(
        shipped.model_dump() | {"grid": shipped.grid.model_dump() | {"noises": tuple(exact)}}
    )
    keys = sorted(cell.key for cell in cells(params))
    assert (len(keys), digest(keys)) == (66, "c12954decfd4f525")
