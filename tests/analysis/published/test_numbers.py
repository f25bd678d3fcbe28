"""The curated table holds facts in the words of this laboratory; a fault is named by its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from analysis.published.numbers import (
    CURATED,
    SOURCES,
    Number,
    curated,
    read_numbers,
    settings_of,
    source_names,
)
from methods.losses.choice import EVERY, ROBUST
from pipeline import backbones
from pipeline.errors import LabError
from pipeline.noise.detect import TESTABLE
from pipeline.noise.published.registry import PUBLISHED
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.recipes import choose, recipes_of

LINES = CURATED.read_text(encoding="utf-8").splitlines()
HEADER = LINES[0]
ROW = (
    "paper,Table 1,A,cifar10,symmetric,0.4,SLN,sln,,sigma=1,WRN-28-2,wrn28-2,none,300,50000,"
    "test_accuracy,last,0.8,0.01,1,5,"
)
VARIANTS = {
    "robust_loss": [{"loss": loss} for loss in ROBUST]
    + [{"loss": "ce", "logit_clip": True}, {"loss": "ce", "rrm": True, "rrm_gamma": 1.0}],
    "representation_regularization": [
        {"loss": loss, "regulariser": regulariser}
        for loss in EVERY
        for regulariser in ("none", "rkd_dis")
    ],
    "sln": [{}, {"correction": True}],
    "elr": [{}, {"plus": True}],
    "sop": [{}, {"plus": True}],
    "co_teaching": [{}, {"plus": True}],
    "pes": [{}, {"semi": True}],
    "ssr": [{}, {"consistency_weight": 0.0}],
    "dividemix": [{}, {"start_from": "simclr"}],
    "feature_classifier": [{"classifier": "knn"}],
    **{name: [{}] for name in ("cores", "jocor", "promix", "disc", "lra_diffusion")},
}


@cache
def rows_here() -> dict[str, set[str]]:
    """What tables here call methods -> the settings that these have."""
    found: dict[str, set[str]] = {}
    for name, choices in VARIANTS.items():
        method = load_method(name)
        for settings in choices:
            variant = method.variant(method.Settings(**settings))
            found.setdefault(variant, set()).update(method.Settings.model_fields)
    return found


@pytest.fixture(scope="module")
def numbers() -> list[Number]:
    return read_numbers()


def test_methods_and_settings_are_those_of_the_laboratory(numbers: list[Number]) -> None:
    named = {number.method for number in numbers} - {""}
    assert named <= rows_here().keys()
    assert {"ce", "sln-lc", "elr+", "lra_diffusion", "eps_ce_and_mae"} <= named
    for number in numbers:
        if number.method:
            assert settings_of(number).keys() <= rows_here()[number.method], number


def test_data_sets_networks_and_conventions_are_those_of_the_laboratory(
    numbers: list[Number],
) -> None:
    named = ("ssr", "lra_diffusion")  # between them they have recipes for every data set
    recipes = [recipe for name in named for recipe in recipes_of(name).values()]
    cells = [cell for recipe in recipes for cell in recipe.cells]
    datasets = {name for cell in cells for name in _listed(cell["dataset"])}
    assert {number.dataset for number in numbers} <= datasets
    networks = {number.backbone for number in numbers if not number.backbone.startswith("timm/")}
    assert networks - {""} <= backbones._OWN.keys()
    of_files = {found.convention for found in PUBLISHED.values()}
    human = ("aggregate", "random1", "random2", "random3", "worst", "fine")
    known = TESTABLE | of_files | {"given", "open-set", "asymmetric/own map"}
    known |= {f"human/{which}" for which in human}
    known |= {f"pmd/{t} + {then}" for t in ("I", "II", "III") for then in TESTABLE}
    known |= {f"{family}?" for family in ("symmetric", "asymmetric", "instance")}
    assert {number.noise for number in numbers} <= known


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_every_source_is_named_and_every_name_is_a_source(numbers: list[Number]) -> None:
    assert {number.source for number in numbers} == source_names().keys()


def test_numbers_of_one_paper_have_the_settings_of_its_recipe(numbers: list[Number]) -> None:
    """Two readings of the epsilon-softmax paper agree: recipe `apl` and the table's settings."""
    own = [n for n in numbers if n.source == "epsilon_softmax2024" and n.place == "Table 2"]
    assert len(own) == 270
    for number in own:
        loss, _, clipped = number.method.partition("+")
        cell = {
            "dataset": number.dataset, "noise_kind": number.noise.partition("/")[0],
            "rate": number.rate, "loss": loss, "logit_clip": bool(clipped),
        }  # fmt: skip
        chosen = ROBUST[loss] | choose("robust_loss", "apl", cell).settings
        assert (chosen["epochs"], chosen["backbone"]) == (number.epochs, number.backbone)
        for name, value in settings_of(number).items():
            assert float(chosen[name]) == float(value), number


def test_values_are_fractions_as_printed(numbers: list[Number]) -> None:
    """In percent a value has as many digits before the point as the source printed: at most two."""
    assert all(0 < number.value < 1 for number in numbers)
    best = max(number.value for number in numbers if number.dataset == "cifar10")
    assert best > 0.9, "percent divided twice"
    assert all(number.deviation is None or number.deviation < 0.15 for number in numbers)
    sln = [n for n in numbers if n.source == "sln2021" and n.noise == "symmetric"]
    assert {(n.dataset, n.name): n.value for n in sln}["cifar10", "SLN"] == 0.8


def test_rates_fit_their_conventions(numbers: list[Number]) -> None:
    for number in numbers:
        if number.noise.startswith(("human", "given")):
            assert number.rate is None
        else:
            assert number.rate is not None
            assert (number.rate == 0) == (number.noise == "clean")
    # 1 - (1 - 0.35) (1 - r) of a second noise with rate r, as a card has it.
    hybrids = {number.rate for number in numbers if "+" in number.noise}
    assert hybrids == {0.545, 0.74}


def test_numbers_of_notes_are_marked_and_left_out_unless_asked_for(numbers: list[Number]) -> None:
    from_notes = {number.source for number in numbers if number.trust == "D"}
    assert {"rrr2023", "dssplus_note", "colearning2021", "rrm2026"} <= from_notes
    assert not any(number.trust == "D" for number in curated())
    assert {number.trust for number in curated(("D",))} == {"D"}


def test_sources_name_no_place_of_the_web() -> None:
    text = CURATED.read_text() + SOURCES.read_text()
    assert not re.search(r"https?:|www\.|\.(com|org|io)\b", text)


def with_row(change: Callable[[str], str]) -> list[str]:
    return [HEADER, ROW, change(ROW.replace("Table 1", "Table 2"))]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER, ROW, ROW], "line 3: the same number as in .*line 2"),
        ([HEADER, ROW, ROW.replace(",0.8,", ",0.7,")], "line 3: the same number"),
        (with_row(lambda row: row.replace(",0.8,", ",80,")), "line 3: value = '80'.*by 100"),
        (with_row(lambda row: row.replace(",0.8,", ",,")), "line 3: no value"),
        (with_row(lambda row: row.replace(",0.4,", ",nan,")), "line 3: rate = 'nan'"),
        (with_row(lambda row: row.replace("last", "lst")), "protocol = 'lst'.*try: last"),
        (with_row(lambda row: row.replace(",A,", ",E,")), "trust = 'E'.*one of A, B, C, D"),
        (with_row(lambda row: row.replace("test_accuracy", "accuracy")), "metric = 'accuracy'"),
        (with_row(lambda row: row.replace(",300,", ",3e2,")), "epochs = '3e2'.*whole number"),
        (with_row(lambda row: row.replace("sigma=1", "sigma")), "settings = 'sigma'"),
        (with_row(lambda row: row.replace("symmetric", "")), "line 3: no noise"),
        (with_row(lambda row: row + ",more"), "line 3: 23 cells; expected: 22"),
        ([HEADER.replace("noise", "nose"), ROW], "unknown column 'nose'.*try: noise"),
        ([HEADER.replace(",note", ""), ROW.removesuffix(",")], "lacks column 'note'"),
    ],
)  # fmt: skip
def test_a_faulty_table_is_one_line(lines: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(LabError, match=message):
        read_numbers([path])


def test_a_sound_row_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEADER}\n\n{ROW}\n")
    (number,) = read_numbers([path])
    assert (number.rate, number.epochs, number.protocol, number.ddof) == (0.4, 300, "last", 1)
    assert settings_of(number) == {"sigma": "1"}
    with pytest.raises(LabError, match="the same number"):
        read_numbers([path, path])
    with pytest.raises(LabError, match="is missing"):
        read_numbers([tmp_path / "no.csv"])
