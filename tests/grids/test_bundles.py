"""Bundles hold every cell once, each of equal resources, and take about the time they should."""

import math
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.grids.bundles import Lengths, add_bundles, bundles_of
from pipeline.grids.frozen_cell import FrozenCell

MINUTES = Lengths(shortest=600.0, longest=1800.0)


def cell(number, seconds=None, gpus=1, precision="fp32", encoders=()):
    return FrozenCell(
        f"r{number:016x}", f"cell {number}", "robust_loss", "{}", "exact", "{}", [], None,
        list(encoders), gpus, precision, seconds,
    )  # fmt: skip


def batch(folder: Path, cells, token="00000000"):
    """What bundling looks at of a batch."""
    return SimpleNamespace(folder=folder, cells=cells, token=token, frozen_at=datetime.now(UTC))


@pytest.mark.parametrize("case", range(40))
def test_every_cell_is_in_one_bundle_of_its_resources_and_none_is_too_long(tmp_path, case):
    stream = np.random.default_rng(case)
    n = int(stream.integers(1, 120))
    cells = [
        cell(
            number,
            float(stream.uniform(1, 2000)) if stream.random() < 0.8 else None,
            int(stream.choice([0, 1, 4])),
            str(stream.choice(["fp32", "bf16"])),
            [["a"], ["b"], []][stream.integers(3)],
        )
        for number in range(n)
    ]
    last = {int(row) for row in stream.choice(n, size=min(n, 3), replace=False)}
    slots = int(stream.integers(1, 20))
    made = add_bundles(
        batch(tmp_path, cells, f"{stream.integers(2**32):08x}"), range(n), slots, MINUTES, last
    )
    assert sorted(row for one in made for row in one.rows) == list(range(n))
    assert [one.number for one in made] == list(range(len(made)))
    for one in made:
        assert {(cells[row].gpus, cells[row].precision) for row in one.rows} == {
            (one.gpus, one.precision)
        }
        costs = [cells[row].seconds for row in one.rows if cells[row].seconds is not None]
        if len(costs) == len(one.rows) > 1:
            # What is cut between cells may be longer by one of them.
            assert sum(costs) <= MINUTES.longest + max(costs)
        late = [row in last for row in one.rows]
        assert late == sorted(late)


def test_short_cells_are_not_spread_over_more_slots_than_is_useful(tmp_path):
    cells = [cell(number, 6.0) for number in range(1000)]
    made = add_bundles(batch(tmp_path, cells), range(1000), 64, MINUTES)
    assert len(made) == math.ceil(6000 / MINUTES.shortest)
    assert {len(one.rows) for one in made} == {100}


def test_where_nothing_is_known_the_first_bundle_is_one_cell(tmp_path):
    cells = [cell(number) for number in range(101)]
    made = add_bundles(batch(tmp_path, cells), range(101), 5, MINUTES)
    assert [len(one.rows) for one in made] == [1] + [5] * 20


def test_cells_with_the_same_encoder_are_together_and_two_batches_start_elsewhere(tmp_path):
    cells = [cell(number, 600.0, encoders=[f"r{number % 2}"]) for number in range(12)]
    orders = []
    for token in ("00000000", "80000000"):
        made = add_bundles(batch(tmp_path / token, cells, token), range(12), 1, MINUTES)
        order = [row for one in made for row in one.rows]
        assert sum(a % 2 != b % 2 for a, b in pairwise(order)) == 1
        orders.append(order[0])
    assert orders == [0, 1]


def test_numbers_of_later_bundles_go_on(tmp_path):
    one = batch(tmp_path, [cell(number) for number in range(4)])
    first = add_bundles(one, [0, 1, 2], 1, MINUTES)
    second = add_bundles(one, [3], 1, MINUTES)
    assert bundles_of(one) == first + second
    assert [bundle.number for bundle in first + second] == list(range(len(first) + 1))


def test_where_the_batch_itself_tells_what_a_cell_takes_short_ones_stay_together(tmp_path):
    cells = [cell(number) for number in range(1000)]
    one = batch(tmp_path, cells)
    together = add_bundles(one, range(1000), 5, MINUTES, usual=MINUTES.shortest / 2000)
    assert [len(bundle.rows) for bundle in together] == [1000]
    apart = add_bundles(one, range(1000), 5, MINUTES, usual=MINUTES.longest / 200)
    assert [len(bundle.rows) for bundle in apart] == [200] * 5
