"""The stage `noise` makes the table of an entry, and the draws of it that the grid crosses."""

import sys

import pytest

from pipeline.errors import LabError
from pipeline.files import labels_folder, split_name
from pipeline.noise.label_table import load_table, made_tables, table_remedy
from pipeline.stages import noise
from tests.support.lab import PARAMS, write_params


def made(lab, monkeypatch, *words, **grid):
    write_params(lab, PARAMS | {"grid": PARAMS["grid"] | grid})
    monkeypatch.setattr(sys, "argv", ["noise", "digits", *words])
    noise.main()
    return {path.parent.name for path in (lab / "labels" / "digits").glob("*/card.json")}


def test_each_draw_lies_beside_the_table_of_the_entry(lab, monkeypatch, capsys):
    crossed = {"seeds": {"noise": [1, 2, 7]}}  # 1 is the seed of the entry
    found = made(lab, monkeypatch, "symmetric-40", **crossed)
    assert found == {"symmetric-40", "symmetric-40.draw-2", "symmetric-40.draw-7"}
    tables = [load_table("digits", name) for name in sorted(found)]
    assert [table.card.seed for table in tables] == [1, 2, 7]
    assert len({table.card.labels_digest for table in tables}) == 3
    assert "digits symmetric-40.draw-7: 1437 labels, realised rate" in capsys.readouterr().out
    assert made_tables("digits") == ["symmetric-40"]


def test_draws_may_be_asked_for_by_hand(lab, monkeypatch):
    _, *words = table_remedy("digits", "pair-40.draw-4").partition("digits ")[2].split()
    assert made(lab, monkeypatch, "pair-40", *words) == {"pair-40", "pair-40.draw-4"}
    write_params(lab, PARAMS)
    assert made(lab, monkeypatch, "clean", "--draws", "4") >= {"clean", "pair-40"}
    assert not labels_folder("digits", "clean", 4).exists()
    with pytest.raises(SystemExit):
        made(lab, monkeypatch, "pair-40", "--draws", "-1")


@pytest.mark.parametrize("name", ["pair-40", "pair-40.draw-4", "pair-40.draw-x"])
def test_names_of_draws_are_taken_apart(name):
    expected = {"pair-40.draw-4": ("pair-40", 4)}.get(name, ("pair-40", None))
    assert split_name(name) == expected


def test_no_entry_can_have_the_name_of_a_draw(lab, monkeypatch):
    with pytest.raises(LabError, match="noise name"):
        labels_folder("digits", "pair-40.draw-4")
