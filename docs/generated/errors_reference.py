"""The reference of errors: all that the laboratory refuses, read from the code that refuses it."""

from __future__ import annotations

import ast
import html
import re
import tomllib
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
_TOOLS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
_PACKAGES = _TOOLS["importlinter"]["root_packages"]
_UNKNOWN = "…"
_HEAD = """# Errors

What you can mend ends a program with one line on its standard error, and with exit code 2 unless
the list says otherwise:

    error: WHAT WAS GIVEN; expected: WHAT IS ALLOWED; try: WHAT TO TYPE OR DO

Settings of a wrong type or out of range are refused in the same form; what each takes is in the
[settings](settings.md). A traceback is a defect of the laboratory. A stop by a signal has exit code
128 plus the number of the signal.

This list is read from the code, room by room. Words in capitals stand for what you gave or what was
found, and … for words that are put together as the program runs.
"""


class Refusal(NamedTuple):
    """One place in the code that refuses something."""

    file: str
    line: int
    given: str
    allowed: str
    remedy: str
    exit_code: str


def errors_page() -> str:
    """The page, as Markdown."""
    rooms = defaultdict(list)
    for refusal in refusals():
        if refusal.given != _UNKNOWN:
            rooms[refusal.file.rpartition("/")[0]].append(refusal)
    parts = [_HEAD]
    for room, found in sorted(rooms.items()):
        lines = sorted({_line(refusal) for refusal in found}, key=str.casefold)
        parts.append(f"## `{room}`\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def refusals() -> Iterator[Refusal]:
    """Every place that makes a LabError, file by file."""
    for package in _PACKAGES:
        for path in sorted((PROJECT / package).rglob("*.py")):
            module = _Module(ast.parse(path.read_text(encoding="utf-8")))
            name = path.relative_to(PROJECT).as_posix()
            yield from (Refusal(name, *found) for found in module.refusals())


def _line(refusal: Refusal) -> str:
    marked = {"expected": refusal.allowed, "try": refusal.remedy}
    parts = [f"{mark}: {_plain(part)}" for mark, part in marked.items() if part.strip(_UNKNOWN)]
    message = "; ".join([f"**{_plain(refusal.given)}**", *parts])
    code = f"; exit code {refusal.exit_code}" if refusal.exit_code else ""
    return f"- {message} (`{refusal.file.rpartition('/')[2]}`{code})"


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    once = re.sub(f"{_UNKNOWN}({_UNKNOWN})+", _UNKNOWN, " ".join(text.split()))
    escaped = html.escape(once, quote=False)
    return re.sub(r"([\\`*_{}\[\]#|])", r"\\\1", escaped)


class _Module:
    """The words that a module puts into its errors.

    Args:
        tree: the parsed file.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.functions = {
            node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }
        self.constants = dict(_assigned(tree.body))

    def refusals(self) -> Iterator[tuple[int, str, str, str, str]]:
        for scope in [self.tree, *self.functions.values()]:
            names = self.constants | dict(_assigned(_own_nodes(scope)))
            for node in _own_nodes(scope):
                if isinstance(node, ast.Call) and _called(node) == "LabError":
                    yield (node.lineno, *self._parts(node, names))

    def _parts(self, call: ast.Call, names: dict[str, ast.expr]) -> tuple[str, str, str, str]:
        parts: list[str] = []
        for argument in call.args:
            if isinstance(argument, ast.Starred):
                parts += self._suggested(argument.value, names)
            else:
                parts.append(self._words(argument, names))
        code = {word.arg: ast.unparse(word.value) for word in call.keywords}.get("exit_code", "")
        given, allowed, remedy = [*parts, "", "", ""][:3]
        return given, allowed, remedy, code

    def _suggested(self, node: ast.expr, names: dict[str, ast.expr]) -> list[str]:
        """What `suggest` says: the names that are known, and the nearest of them."""
        if not (isinstance(node, ast.Call) and _called(node) == "suggest"):
            return [_UNKNOWN, _UNKNOWN]
        try:
            known = "one of " + ", ".join(ast.literal_eval(node.args[1]))
        except (ValueError, TypeError):
            known = "one of the names that are known"
        otherwise = [self._words(other, names) for other in node.args[2:]]
        return [known, " or ".join(["the nearest of them", *otherwise])]

    def _words(self, node: ast.expr, names: dict[str, ast.expr]) -> str:
        text = _UNKNOWN
        match node:
            case ast.Constant(value=str(text)):
                pass
            case ast.JoinedStr(values=values):
                text = "".join(self._words(value, names) for value in values)
            case ast.FormattedValue(value=value):
                text = self._inserted(value, names)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                text = self._words(left, names) + self._words(right, names)
            case ast.IfExp(body=body, orelse=orelse):
                text = f"{self._words(body, names)}, or {self._words(orelse, names)}"
            case ast.BoolOp(op=ast.Or(), values=values):
                text = " or ".join(self._words(value, names) for value in values)
            case ast.Name(id=name) if name in names:
                others = {known: one for known, one in names.items() if known != name}
                text = self._words(names[name], others)
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                text = self._returned(self.functions[name])
        return text

    def _returned(self, function: ast.FunctionDef) -> str:
        """The words of a function that does nothing but put them together."""
        last = function.body[-1]
        if isinstance(last, ast.Return) and isinstance(last.value, ast.JoinedStr | ast.Constant):
            return self._words(last.value, self.constants)
        return _UNKNOWN

    def _inserted(self, node: ast.expr, names: dict[str, ast.expr]) -> str:
        """What stands for a value in a message: its name in capitals."""
        text = _UNKNOWN
        match node:
            case ast.Name(id=name) if isinstance(known := names.get(name), ast.Constant):
                text = f"{known.value}"
            case ast.Name(id=name) if isinstance(names.get(name), ast.JoinedStr | ast.BinOp):
                text = self._words(node, names)
            case ast.Name(id=name) | ast.Attribute(attr=name) if name not in names:
                text = name.strip("_").upper()
            case ast.Call(func=ast.Name(id="quoted"), args=[inner, *_]):
                text = self._inserted(inner, {})
            case ast.Call(func=ast.Name(id="len")):
                text = "N"
            case ast.Subscript(value=inner):
                text = self._inserted(inner, {})
            case ast.Constant() | ast.JoinedStr() | ast.BinOp(op=ast.Add()) | ast.IfExp():
                text = self._words(node, names)
        return text


def _own_nodes(scope: ast.AST) -> list[ast.AST]:
    """All nodes of a function or module but those of functions inside it."""
    found: list[ast.AST] = []
    waiting = deque(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.popleft()
        if not isinstance(node, ast.FunctionDef):
            found.append(node)
            waiting += ast.iter_child_nodes(node)
    return found


def _assigned(nodes: list[ast.AST] | list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Names that are given one text and no other."""
    values: dict[str, list[ast.expr]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        values[name.id].append(node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name):
            values[node.target.id].append(node.value or ast.Constant(None))
    texts = (ast.Constant, ast.JoinedStr, ast.IfExp, ast.BinOp)
    for name, given in values.items():
        if len(given) == 1 and isinstance(given[0], texts):
            yield name, given[0]


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]
