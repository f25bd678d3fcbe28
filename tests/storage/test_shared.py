"""A folder that should be shared, and is or is not."""

import pytest

from pipeline.errors import LabError
from pipeline.storage.place import Place
from pipeline.storage.shared import leave_token, require_shared


def test_a_token_is_seen_where_the_place_is_the_same(place):
    token = leave_token(place)
    require_shared(Place.at(place.address), token, patience=0)


def test_another_folder_of_the_same_name_is_noticed(tmp_path):
    token = leave_token(Place.at(tmp_path / "node1" / "store"))
    with pytest.raises(LabError, match=r"on this node is not the one .*; try: set LNL_STORE"):
        require_shared(Place.at(tmp_path / "node2" / "store"), token, patience=0)
