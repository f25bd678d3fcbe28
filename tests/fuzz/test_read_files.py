"""Files of the laboratory that were damaged or replaced, read by the commands that need them."""

import json
import random

import numpy as np
import polars as pl
import pytest

from analysis import leaderboard, noise_report, report
from pipeline.noise import __main__ as label_tables
from pipeline.stages import data, noise, runs
from tests.support.endings import check, ending
from tests.support.mutations import mutated_bytes


@pytest.mark.parametrize(
    "name", ["train_images.npy", "train_labels.npy", "test_images.npy", "card.json"]
)
def test_the_noise_report_accepts_no_damaged_data_set(lab, name, capsys, monkeypatch) -> None:
    for main, words in ((data.main, ["digits"]), (noise.main, ["digits", "pair-40"])):
        assert ending(capsys, monkeypatch, main, *words)[0] == 0
    words = ["digits", "pair-40"]
    assert ending(capsys, monkeypatch, noise_report.main, *words)[0] == 0
    path, rng = lab / "data" / "digits" / name, random.Random(4711)
    raw = path.read_bytes()
    flipped = bytearray(raw)
    flipped[-len(raw) // 3] ^= 4
    damaged = [b"", bytes(len(raw)), raw[: len(raw) // 2], bytes(flipped)]
    for content in damaged if name != "card.json" else damaged[:3]:
        path.write_bytes(content)
        code, complaint = ending(capsys, monkeypatch, noise_report.main, *words)
        assert code == 2
        check(code, complaint)
    for _ in range(10):
        path.write_bytes(mutated_bytes(raw, rng))
        check(*ending(capsys, monkeypatch, noise_report.main, *words))
    path.unlink()
    path.mkdir()
    code, complaint = ending(capsys, monkeypatch, noise_report.main, *words)
    assert code in (1, 2)
    check(code, complaint)


ODD = [None, True, -1, 1.5, "", "x" * 3000, [], {}, [1], {"a": 1}, [None], [[1]], "../../precious"]


def test_no_command_accepts_a_changed_label_card(lab, capsys, monkeypatch) -> None:
    assert ending(capsys, monkeypatch, noise.main, "digits", "pair-40")[0] == 0
    path, rng = lab / "labels" / "digits" / "pair-40" / "card.json", random.Random(4712)
    card = json.loads(path.read_bytes())
    for key, value in card.items():
        for odd in rng.sample([odd for odd in ODD if odd != value], 3):
            path.write_text(json.dumps(card | {key: odd}))
            for main, words in (
                (noise_report.main, ["digits", "pair-40"]),
                (label_tables.main, ["show", "pair-40", "--dataset", "digits"]),
            ):
                code, complaint = ending(capsys, monkeypatch, main, *words)
                assert code == 2, (key, odd)
                check(code, complaint)


def test_labels_beyond_the_images_are_one_line(lab, capsys, monkeypatch) -> None:
    """The table of a data set that was since prepared with fewer images."""
    assert ending(capsys, monkeypatch, noise.main, "digits", "pair-40")[0] == 0
    blocks = "datasets: {digits: {kind: digits, test_rate: 0.5}}\n"
    (lab / "params.yaml").write_text(blocks)
    assert ending(capsys, monkeypatch, data.main, "digits")[0] == 0
    code, complaint = ending(capsys, monkeypatch, noise_report.main, "digits", "pair-40")
    assert code == 2
    check(code, complaint)


def test_a_link_in_a_circle_is_one_line(lab, capsys, monkeypatch) -> None:
    assert ending(capsys, monkeypatch, noise.main, "digits", "pair-40")[0] == 0
    for ending_of_name in ("csv", "npy", "parquet", "yaml"):
        (lab / f"round.{ending_of_name}").symlink_to(lab / f"round.{ending_of_name}")
    csv, npy, yaml_file, parquet = (
        str(lab / f"round.{kind}") for kind in ("csv", "npy", "yaml", "parquet")
    )
    for main, words in (
        (label_tables.main, ["import", csv, "digits", "mine"]),
        (label_tables.main, ["estimate", "digits", "pair-40", "--features", npy]),
        (label_tables.main, ["verify", csv]),
        (noise_report.main, ["digits", "pair-40", "--posterior", npy]),
        (runs.main, ["--plan", "--params", yaml_file]),
        (leaderboard.main, ["--view", parquet]),
        (leaderboard.main, ["--store", parquet]),
        (data.main, ["digits", "--root", csv]),
    ):
        code, complaint = ending(capsys, monkeypatch, main, *words)
        check(code, complaint)
        assert code != 0, words
    monkeypatch.setenv("LNL_STORE", parquet)
    code, complaint = ending(capsys, monkeypatch, leaderboard.main, "--grid", "all")
    check(code, complaint)
    assert code != 0


@pytest.mark.parametrize("columns", [["key"], ["key", "epoch"], ["key", "dataset"], ["index"]])
def test_a_table_of_another_kind_is_no_view(lab, columns, capsys, monkeypatch) -> None:
    path = lab / "other.parquet"
    values = {"key": ["r1"], "epoch": np.array([0]), "dataset": ["digits"], "index": [3]}
    pl.DataFrame({name: values[name] for name in columns}).write_parquet(path)
    for main, words in (
        (report.main, [str(path), "--out", str(lab / "report")]),
        (leaderboard.main, ["--view", str(path)]),
    ):
        code, complaint = ending(capsys, monkeypatch, main, *words)
        assert code == 2
        assert "no view" in complaint
        check(code, complaint)
