"""docs/store.md says what the code does."""

from __future__ import annotations

import pytest

from pipeline.results.columns import columns_table
from pipeline.results.schema import CURVES, DRAWN, EPOCH_COLUMNS, RUN_COLUMNS, TABLES, TAGS, Table
from pipeline.results.tracking import limits
from tests.support.paths import PROJECT

PAGE = (PROJECT / "docs" / "store.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES)
def test_the_page_lists_the_columns_as_they_are(table: Table) -> None:
    assert columns_table(table) in PAGE, "uv run python -m pipeline.results columns"


def test_the_page_names_the_limits_as_they_are() -> None:
    text = " ".join(PAGE.split())
    assert f"at most {limits.CONNECT_SECONDS:.0f} seconds" in text
    assert f"about {limits.LATER_SECONDS:.0f} seconds" in text
    assert f"plus {100 * limits.SHARE:.0f} %" in text


def test_what_is_shown_derives_from_the_columns() -> None:
    assert set(TAGS) < set(RUN_COLUMNS)
    assert set(DRAWN) < set(CURVES) < set(EPOCH_COLUMNS)
    # Every number about an epoch is a curve, but what it cost.
    left_out = {name for name in EPOCH_COLUMNS if name not in CURVES}
    assert left_out == {"key", "epoch", "scalars", "seconds"}
    averaged = {name for name in EPOCH_COLUMNS if name.startswith("averaged_")}
    assert {name.removeprefix("averaged_") for name in averaged} < set(CURVES)
    assert len(averaged) == 5
