"""Exact neighbours: equal to comparing all pairs, in little memory, computed once."""

import numpy as np
import pytest
import torch

from pipeline.encoders import neighbour_table as tables
from pipeline.encoders.distances import rounding_bound
from pipeline.encoders.neighbour_table import neighbour_table
from pipeline.encoders.neighbours import NeighbourSearch, block_rows, nearest
from pipeline.errors import LabError
from tests.support.live_bytes import LiveBytes

TINY = 2**15
"""Working memory that forces blocks of a few rows."""


def source():
    return torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=source())


FEATURES = {
    "normal": normal(200, 12),
    "few different rows": torch.randint(0, 2, (200, 3), generator=source()).float(),
    "all equal": torch.ones(60, 3),
    "half": normal(200, 12).half(),
    "bfloat16": normal(100, 8).bfloat16(),
    "float64 far from 0": normal(200, 12).double() + 1e6,
    "closer than float32 can tell": normal(200, 12) * 1e-3 + 1000,
    "tight clusters": normal(5, 12).repeat(40, 1) + 1e-5 * normal(200, 12),
    "one cluster and a far row": torch.cat([normal(100, 4) * 1e-6, torch.full((1, 4), 1e6)]),
    "squares overflow float32": normal(60, 4) * 1e30,
    "squares vanish in float32": normal(60, 4) * 1e-30,
    "squares lose digits in float32": normal(60, 4) * 1e-21,
}


def all_pairs(queries, bank, k, exclude_self=False):
    """Differences of all pairs in float64; sorting is stable, so ties go to the lower index."""
    distance = (queries.double()[:, None] - bank.double()).norm(dim=2)
    if exclude_self:
        distance.fill_diagonal_(torch.inf)
    near, row = distance.sort(dim=1, stable=True)
    return row[:, :k], near[:, :k]


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("max_bytes", [TINY, 2**26])
@pytest.mark.parametrize("name", FEATURES)
def test_blocks_give_what_all_pairs_give(name, max_bytes, exclude_self):
    rows = FEATURES[name]
    found = nearest(rows, rows, 7, exclude_self=exclude_self, max_bytes=max_bytes)
    row, distance = all_pairs(rows, rows, 7, exclude_self)
    torch.testing.assert_close(found.distance, distance, rtol=1e-12, atol=0)
    assert found.row.equal(row)


def test_all_rows_can_be_asked_for():
    bank, queries = normal(50, 4), normal(70, 4)[50:]
    assert nearest(queries, bank, 50).row.equal(all_pairs(queries, bank, 50)[0])
    found = nearest(bank, bank, 49, exclude_self=True)
    assert found.row.equal(all_pairs(bank, bank, 49, exclude_self=True)[0])
    assert not (found.row == torch.arange(50)[:, None]).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_mapped_file_gives_what_the_tensor_gives(tmp_path, dtype):
    rows = normal(150, 6).numpy().astype(dtype)
    np.save(tmp_path / "bank.npy", rows)
    bank = np.load(tmp_path / "bank.npy", mmap_mode="r")
    found = nearest(bank[20:60], bank, 5, max_bytes=TINY)
    expected = nearest(torch.from_numpy(rows[20:60]), torch.from_numpy(rows), 5)
    assert found.row.equal(expected.row)
    assert found.distance.equal(expected.distance)


def test_precision_settings_and_autocast_change_nothing():
    rows = normal(300, 64)
    expected = nearest(rows, rows, 5)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = nearest(rows, rows, 5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert found.row.equal(expected.row)


def test_the_bound_on_rounding_holds_for_the_worst_of_many_products():
    rows = normal(200, 300) * torch.logspace(-3, 3, 300)
    size = rows.square().sum(dim=1)
    approximate = size[:, None] + torch.addmm(size, rows, rows.T, alpha=-2)
    exact = (rows.double()[:, None] - rows.double()).square().sum(dim=2)
    error = (approximate.double() - exact).abs().amax(dim=1)
    assert (error <= rounding_bound(300, size, size.max())).all()


@pytest.mark.parametrize("name", ["normal", "few different rows", "closer than float32 can tell"])
def test_memory_stays_within_its_bound(name):
    rows = FEATURES[name].repeat(2, 1)
    result = 2 * 8 * len(rows) * 7
    with LiveBytes() as live:
        nearest(rows, rows, 7, max_bytes=2**17)
    assert result < live.peak <= result + 2**17


@pytest.mark.parametrize("n_features", [1, 16, 768, 2048])
@pytest.mark.parametrize("max_bytes", [2**20, 2**24, 2**30])
def test_blocks_use_the_memory_they_may(n_features, max_bytes):
    n_queries, n_rows = block_rows(n_features, 50, max_bytes)
    numbers = n_queries * (n_features + 4 * 66) + n_rows * (2 * n_features + n_queries)
    assert max_bytes / 16 <= 16 * numbers <= max_bytes
    assert block_rows(10**6, 50, 1) == (1, 1)


@pytest.mark.parametrize(
    ("queries", "bank", "k", "exclude_self", "words"),
    [
        (normal(5, 3), normal(5, 4), 1, False, "as many features"),
        (normal(0, 4), normal(5, 4), 1, False, "at least one query"),
        (normal(4, 4), normal(5, 4), 1, True, "the bank itself"),
        (normal(5, 4), normal(5, 4), 5, True, "1 to 4"),
        (normal(5, 4), normal(5, 4), 6, False, "1 to 5"),
        (normal(5, 4), normal(5, 4), 0, False, "1 to 5"),
        (normal(5), normal(5, 4), 1, False, "floating"),
        (torch.ones(5, 4, dtype=torch.int64), normal(5, 4), 1, False, "floating"),
        (np.ones((5, 4), np.int64), normal(5, 4), 1, False, "floating"),
        (normal(5, 4), normal(5, 4).log(), 1, False, "finite"),
        (normal(5, 4) / 0, normal(5, 4), 1, False, "finite"),
    ],
)
def test_what_does_not_fit_is_refused(queries, bank, k, exclude_self, words):
    with pytest.raises(LabError, match=words):
        nearest(queries, bank, k, exclude_self=exclude_self)


def test_a_table_is_computed_once(tmp_path, monkeypatch):
    rows = normal(120, 6)
    first = neighbour_table(tmp_path, "abc", rows, 4, max_bytes=TINY)
    row, distance = all_pairs(rows, rows, 4, exclude_self=True)
    assert first.row.tolist() == row.tolist()
    np.testing.assert_allclose(first.distance, distance, rtol=1e-6)
    assert first.row.dtype == np.int32
    assert not first.row.flags.owndata
    assert not first.row.flags.writeable
    monkeypatch.setattr(NeighbourSearch, "blocks", lambda *_: pytest.fail("computed again"))
    again = neighbour_table(tmp_path, "abc", rows, 4)
    assert again.row.tolist() == first.row.tolist()


def test_another_bank_k_or_version_is_another_table(tmp_path, monkeypatch):
    rows = normal(40, 6)

    def count(*args, **kwargs):
        neighbour_table(tmp_path, *args, **kwargs)
        return len(list(tmp_path.glob("neighbours-*.npy")))

    assert count("abc", rows, 3) == 1
    assert count("other", rows, 3) == 2
    assert count("abc", rows, 2) == 3
    assert count("abc", rows, 3, exclude_self=False) == 4
    assert count("abc", rows[:30], 3) == 5
    monkeypatch.setattr(tables, "VERSION", 99)
    assert count("abc", rows, 3) == 6
    assert count("abc", rows, 3) == 6


def test_a_broken_or_interrupted_table_is_made_anew(tmp_path, monkeypatch):
    rows = normal(40, 6)
    expected = neighbour_table(tmp_path, "abc", rows, 3).row.tolist()
    (path,) = tmp_path.glob("neighbours-*.npy")
    path.write_bytes(path.read_bytes()[:-1])
    assert neighbour_table(tmp_path, "abc", rows, 3).row.tolist() == expected
    path.unlink()

    blocks = NeighbourSearch.blocks

    def stopped(self, queries):
        yield next(blocks(self, queries))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(NeighbourSearch, "blocks", stopped)
        with pytest.raises(KeyboardInterrupt):
            neighbour_table(tmp_path, "abc", rows, 3, max_bytes=TINY)
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob(".*.tmp"))
    assert neighbour_table(tmp_path, "abc", rows, 3).row.tolist() == expected


def test_a_search_looks_at_every_number_of_its_bank_once(monkeypatch):
    bank, queries = normal(90, 6), normal(150, 6)[90:]
    looked_at, original = [], torch.Tensor.isfinite

    def counted(rows):
        looked_at.append(len(rows))
        return original(rows)

    monkeypatch.setattr(torch.Tensor, "isfinite", counted)
    search = NeighbourSearch(bank, 4, max_bytes=TINY)
    first = search.nearest(queries[:1])
    assert sum(looked_at) == 90 + 90 + 1  # all rows for the shift, which is of few banks, and once
    looked_at.clear()
    again = search.nearest(queries)
    assert sum(looked_at) == len(queries)
    expected = all_pairs(queries, bank, 4)[0]
    assert again.row.equal(expected)
    assert first.row.equal(expected[:1])
