"""Labels of one's own data read `as given`; those that are known to be clean read `clean`."""

import polars as pl
import pytest

from pipeline.results.given import AS_GIVEN, noise_as_shown, shown_noise


@pytest.mark.parametrize(
    ("noise", "kind", "rate", "shown"),
    [
        ("clean", "clean", None, AS_GIVEN),
        ("clean", "clean", 0.2, AS_GIVEN),
        ("clean", "clean", 0.0, "clean"),
        ("mine", "clean", None, "mine"),
        ("clean", "file", None, "clean"),
        ("sym", "symmetric", 0.4, "sym"),
    ],
)
def test_rows_and_columns_are_shown_alike(
    noise: str, kind: str, rate: float | None, shown: str
) -> None:
    row = {"noise": noise, "noise_kind": kind, "realised_rate": rate}
    assert shown_noise(row) == shown
    frame = pl.DataFrame([row], schema_overrides={"realised_rate": pl.Float64})
    assert frame.select(noise_as_shown()).item() == shown
