"""Names that reach the file system, the shell, YAML and DVC."""

import pytest

from pipeline.errors import LabError
from pipeline.names import checked_name
from pipeline.noise.rate_names import name_of_rate


@pytest.mark.parametrize("name", ["digits", "symmetric-40", "A_b-9", "r" * 64])
def test_plain_names_pass(name):
    assert checked_name(name, "noise") == name


BAD = ["", ".", "..", "../../precious",
       "a/b", "/etc", "sym;touch X;", "sym 40", "sym-0.4", "digits.v2",
       "-rf", "40", "1e10", "yes", "Null", "on", "a\n", "ä", "[/b]", "$(x)", "<script>", "r" * 65,
       None, 40, 0.4, True, ["a"], {"a": 1}]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_every_other_name_is_one_line_with_a_name_that_passes(name):
    with pytest.raises(LabError) as refusal:
        checked_name(name, "noise")
    assert len(str(refusal.value)) < 600
    assert checked_name(refusal.value.remedy, "noise")


def test_noise_by_its_rate_is_told_the_name_of_its_table():
    with pytest.raises(LabError) as refusal:
        checked_name("symmetric:0.5", "noise")
    assert refusal.value.remedy == name_of_rate("symmetric:0.5") == "symmetric-0_5"
