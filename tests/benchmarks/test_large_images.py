"""The benchmark of large images, at a tiny size."""

from __future__ import annotations

import sys

import pytest

from benchmarks import large_images


@pytest.mark.slow
def test_every_way_is_measured_and_decoders_agree(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["large_images.py", "--images", "4", "--readings", "1"])
    large_images.main()
    *ways, pixels = capsys.readouterr().out.splitlines()
    assert len(ways) == 5
    assert all("images/s" in way for way in ways)
    assert pixels.startswith("files of which both decode the same pixels: ")
