"""Reading YAML files: the values of YAML 1.2, each key once, and one line for what is wrong.

DVC reads params.yaml by the same rules: `off` and `010` are a word and the number ten, 1e-3 is a
number. Only text, numbers, truth values, null, lists and mappings exist; no tag is followed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import LabError, quoted

_MAX_BYTES = 2**20
_MAX_DEPTH = 50
_MAX_VALUES = 200_000
"""Once aliases are followed: nine lines of aliases can stand for a billion values."""
_PREFIX = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_BASES = {"0o": 8, "0x": 16}


def read_yaml(path: Path, *, what: str, remedy: str) -> dict[str, Any]:
    """Read a YAML mapping whose keys are text.

    Args:
        path: the file.
        what: what the file should hold, for the error.
        remedy: what to do where there is no such file.

    Returns:
        The mapping.

    Raises:
        LabError: naming file and line, when the file is missing, is no UTF-8, is no YAML, names a
            key twice, is nested or repeated beyond reason, or holds no mapping.
    """
    text = _text_of(path, what, remedy)
    loader = _Loader(text)
    try:
        _check_depth(text)
        node = loader.get_single_node()
        if node is None:
            raise LabError(f"{path} is empty", what, remedy)
        if not isinstance(node, yaml.MappingNode):
            raise _Fault("a list or a single value, not a mapping", node.start_mark)
        _Size().check(node)
        content: dict[str, Any] = loader.construct_document(node)
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        place = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        given = f"{place}: {failure.problem or failure.context}"
        allowed, remedy = getattr(failure, "allowed", ""), getattr(failure, "remedy", "")
        raise LabError(given, allowed or what, remedy or "mend that line") from None
    except yaml.reader.ReaderError as failure:
        line = text.encode()[: failure.position].count(b"\n") + 1
        given = f"{path}, line {line}: character {failure.character!r}, {failure.reason}"
        raise LabError(given, "plain text in UTF-8", "mend that line") from None
    finally:
        loader.dispose()
    return content


def _text_of(path: Path, what: str, remedy: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise LabError(f"{path} is no file", what, "name a file")
        if path.stat().st_size > _MAX_BYTES:
            raise LabError(f"{path} has {path.stat().st_size} bytes", "at most a megabyte", remedy)
        raw = path.read_bytes()
    except FileNotFoundError:
        raise LabError(f"{path} is missing", what, remedy) from None
    except OSError as failure:
        reason = failure.strerror or failure
        raise LabError(f"{path} cannot be read: {reason}", what, f"ls -l {path}") from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise LabError(f"{path}, line 1: text in UTF-16", "text in UTF-8", "save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = raw[: failure.start].count(b"\n") + 1
        given = f"{path}, line {line}: byte {raw[failure.start]:#04x}, which is no UTF-8"
        raise LabError(given, "text in UTF-8", "save it as UTF-8") from None


class _Fault(yaml.MarkedYAMLError):
    """Something that YAML allows and a settings file may not hold."""

    def __init__(self, problem: str, mark: Any, allowed: str = "", remedy: str = "") -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.allowed, self.remedy = allowed, remedy


class _Loader(yaml.CSafeLoader):
    """The core schema of YAML 1.2, keys that are text, and a line for every refusal."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the library types both as of the instance
    yaml_constructors = {}  # noqa: RUF012 - as above

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError) as failure:
            raise _Fault(f"{quoted(node.value)}: {failure}", node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping in which each key stands once."""
        if not isinstance(node, yaml.MappingNode):
            raise _Fault("something else tagged as a mapping", node.start_mark)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            text, line = str(key.value), key.start_mark.line + 1
            if key.tag not in {_PREFIX + "str", _PREFIX + "merge"}:
                shown = quoted(text) if isinstance(key, yaml.ScalarNode) else "that is no word"
                raise _Fault(f"key {shown}", key.start_mark, "a name, which starts with a letter")
            if text in lines:
                problem = f"key {quoted(text)} stands in line {lines[text]} and in line {line}"
                raise _Fault(problem, key.start_mark, "each key once", "join the two")
            lines[text] = line
        return super().construct_mapping(node, deep)

    def text(self, node: yaml.ScalarNode) -> str:
        """Text without control characters."""
        found = str(self.construct_scalar(node))
        if odd := _UNPRINTABLE.search(found):
            raise _Fault(f"text with the character {odd.group()!r}", node.start_mark)
        return found

    def whole_number(self, node: yaml.ScalarNode) -> int:
        """A decimal number, or an octal or hexadecimal one after 0o or 0x."""
        digits = str(self.construct_scalar(node))
        if len(digits) > 40:
            raise _Fault(f"a number of {len(digits)} digits", node.start_mark)
        return int(digits, _BASES.get(digits[:2], 10))

    def finite_number(self, node: yaml.ScalarNode) -> float:
        """A number with a point or an exponent; none is infinite, and 1e999 would be."""
        found = float(self.construct_yaml_float(node))
        if not math.isfinite(found):
            problem = f"{quoted(node.value)}, which is no finite number"
            raise _Fault(problem, node.start_mark, "a number up to 1e308", "a smaller number")
        return found

    def unknown(self, node: yaml.Node) -> None:
        """Refuse a tag that asks for anything else."""
        raise _Fault(
            f"tag {quoted(node.tag)}", node.start_mark, "plain values", "leave the tag out"
        )


for _kind, _pattern, _first in (
    ("null", r"|~|null|Null|NULL", ["", "~", "n", "N"]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(_PREFIX + _kind, re.compile(f"^(?:{_pattern})$"), _first)
for _kind, _construct in (
    ("null", _Loader.construct_yaml_null),
    ("bool", _Loader.construct_yaml_bool),
    ("int", _Loader.whole_number),
    ("float", _Loader.finite_number),
    ("str", _Loader.text),
    ("seq", _Loader.construct_yaml_seq),
    ("map", _Loader.construct_yaml_map),
):
    _Loader.add_constructor(_PREFIX + _kind, _construct)
_Loader.add_constructor(None, _Loader.unknown)


def _check_depth(text: str) -> None:
    """Refuse what would exhaust the stack of the parser that builds values."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise _Fault(f"nested more than {_MAX_DEPTH} deep", event.start_mark)


class _Size:
    """How many values nodes stand for and how deep; an alias counts as what it names."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int] | None] = {}

    def check(self, node: yaml.Node) -> tuple[int, int]:
        """Values and depth of a node; an error for too many, too deep or one within itself."""
        if id(node) not in self._known:
            self._known[id(node)] = None
            inner = [self.check(each) for each in _inner(node)]
            values, depths = zip(*inner, strict=True) if inner else ((), (0,))
            self._known[id(node)] = 1 + sum(values), 1 + max(depths)
        known = self._known[id(node)]
        if known is None:
            raise _Fault("an alias within what it names", node.start_mark)
        if known[0] > _MAX_VALUES or known[1] > _MAX_DEPTH:
            problem = f"aliases that stand for {known[0]} values, {known[1]} deep"
            raise _Fault(problem, node.start_mark)
        return known


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
