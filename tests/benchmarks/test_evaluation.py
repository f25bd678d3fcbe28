"""The benchmark of evaluation, at a size that is taken apart once."""

from benchmarks.evaluation import Flags, row


def test_a_row_compares_bits_and_times():
    words = row(Flags(images=128, readings=1), "small-cnn", 32, "channels-last").split()
    assert words[:3] == ["small-cnn", "32", "channels-last"]
    whole, parts, ratio = map(float, words[3:6])
    assert min(whole, parts, ratio) > 0
    assert words[6] == "equal"
