"""Commands that docstrings of methods and their pages print: each is taken by its script."""

import re
import shlex

import pytest
import yaml

from pipeline.config import Execution, read_params
from pipeline.files import methods_folder
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.methods import load_method

ROOT = methods_folder().parent
METHODS = sorted(methods_folder().glob("[!_]*.py"))
PAGES = [
    ROOT / "docs" / f"{name}.md"
    for name in ("encoders", "lra_diffusion", "representation_regularization", "robust_loss", "sln")
]
LAUNCHED = re.compile(r"^ {4}(.*\bmethods/(\w+)\.py\b.*)$", re.MULTILINE)
FILES = re.compile(r"`((?:pipeline|methods|tests|experiments|benchmarks)/[\w./]+)")
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text_of(path):
    """A page or the docstring of a method, with broken lines joined."""
    text = path.read_text()
    if path.suffix == ".py":
        text = text.split('"""')[1]
    return re.sub(r" *\\\n *", " ", text)


COMMANDS = [
    pytest.param(path, line, method, id=f"{path.stem}-{number}")
    for path in (*METHODS, *PAGES)
    for number, (line, method) in enumerate(LAUNCHED.findall(text_of(path)))
]


def params_of(path):
    """params.yaml with the entries that a page shows."""
    params = read_params(ROOT / "params.yaml")
    named = {"noise": dict(params.noise), "encoders": dict(params.encoders)}
    for shown in map(yaml.safe_load, BLOCK.findall(text_of(path))):
        for name, entries in named.items():
            entries.update(shown.get(name, {}))
    return params.model_copy(update=named)


@pytest.mark.parametrize(("path", "line", "method"), COMMANDS)
def test_a_printed_command_is_taken(lab, path, line, method):
    words = shlex.split(line, comments=True)
    assert words[:3] == ["uv", "run", "accelerate"], "as it is typed in a fresh clone"
    params = params_of(path)
    flags = words[words.index(f"methods/{method}.py") + 1 :]
    settings = parse_flags(load_method(method), flags, params)[0].settings
    named = {getattr(settings, role, None) for role in ("start_from", "encoder")} - {None}
    assert named <= set(params.encoders)


def test_every_method_prints_a_command_of_its_own():
    printed = {(param.values[0].stem, param.values[2]) for param in COMMANDS}
    assert {(path.stem, path.stem) for path in METHODS} <= printed


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_switches_that_a_docstring_names_exist(path):
    settings = load_method(path.stem).Settings
    known = set(settings.model_fields) | set(Execution.model_fields)
    for flag in re.findall(r"--([a-z][a-z-]*)", text_of(path)):
        name = flag.replace("-", "_")
        assert {name, name.removeprefix("no_")} & known, f"--{flag}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_start_programs_through_uv(path):
    for line in text_of(path).splitlines():
        assert not re.search(r"(^ {4}|(?<!`)`)(python|accelerate|pytest|dvc repro)\b", line), line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_files_that_a_page_names_exist(path):
    for name in FILES.findall(text_of(path)):
        assert (ROOT / name.rstrip(".")).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_lines_of_a_page_fit_a_screen(path):
    long = [line for line in path.read_text().splitlines() if len(line) > 120]
    assert not long
