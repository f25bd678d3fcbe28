"""Methods look different: no two of sixty share colour and dash."""

from __future__ import annotations

from analysis.reporting.charts import charts
from analysis.reporting.palette import DARK, LIGHT, N_TOLD_APART, colour, dash


def test_sixty_methods_are_told_apart_on_both_kinds_of_page() -> None:
    assert N_TOLD_APART == 60
    assert len(set(LIGHT)) == len(set(DARK)) == len(LIGHT) == len(DARK)
    looks = {(colour(number), *dash(number)) for number in range(N_TOLD_APART)}
    assert len(looks) == N_TOLD_APART
    assert (colour(60), dash(60)) == (colour(0), dash(0))


def test_the_chart_draws_lines_as_tables_show_them() -> None:
    _, line, _ = charts()["curves"]["layer"]
    scale = line["encoding"]["strokeDash"]["scale"]
    assert scale["range"] == [dash(number) for number in scale["domain"]]
    # Colours come from the page, in turn: as many numbers as there are looks.
    assert line["encoding"]["color"]["scale"] == {"domain": list(range(N_TOLD_APART))}
