"""CITATION.cff names the four systems as their files do."""

import ast

import yaml

from tests.support.paths import PROJECT


def test_the_four_systems_are_cited_by_the_titles_that_their_files_have():
    cited = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    systems = dict(reference["notes"].split(", ") for reference in cited["references"])
    assert list(systems) == ["DAL", "RRR", "SLN", "LRA-Diffusion"]
    for reference in cited["references"]:
        file = PROJECT / reference["notes"].split(", ")[1]
        source = " ".join(ast.get_docstring(ast.parse(file.read_text())).split()).casefold()
        assert reference["title"].casefold() in source
        assert str(reference["year"]) in source or "conference" not in reference
        for known in reference.get("identifiers", ()):
            assert known["value"].replace(":", " ").casefold() in source
