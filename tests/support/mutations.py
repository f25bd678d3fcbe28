"""Seeded damage to bytes, nested values and command lines, and what a program may answer to it."""

import copy
import random
import time
from collections.abc import Callable
from typing import Any

from pipeline.errors import LabError

LONGEST_MESSAGE = 600
LONGEST_SECONDS = 5.0
"""A hang lasts longer; a busy machine may need a while for what takes milliseconds."""
TOKENS = [
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\t", b"\n", b"\r", b"'", b'"', b"{", b"}",
    b"[", b"]", b": ", b"- ", b"&a ", b"*a", b"<<: ", b"!!python/object/apply:os.getcwd []",
    b"!!set {a}", b"!!timestamp 2020-99-99", b"!!binary x", b"---\n", b"...\n", b"%YAML 9.9\n",
    b"| ", b"> ", b"? ", b"#", b"2020-13-45", b".inf", b".nan", b"1e999", b"0x", b"~", b"null",
    b"9" * 5000, b"[" * 3000, b"x" * 40_000, b"\\ud800", b"\xed\xa0\x80", b"\x1b[31m",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**5000, 0.0, -0.5,
    1e-320, 1e308, 3.0, float("inf"), float("-inf"), float("nan"), "", " ", "x", "40", "0.1",
    "1e-3", "true", "null", "../../precious", ".", "a\nb", "a\0b", "\ud800", "[/b]", "$(x)", "é",
    "-5", "x" * 40_000, [], [[]], [1], ["a", "b"], [None], [True], {}, {"a": 1}, {1: 2},
    {None: None}, (), (1, "a"), {"set"}, b"bytes", object(), 1j, print,
]  # fmt: skip


def mutated_bytes(raw: bytes, rng: random.Random) -> bytes:
    """`raw` after one to three accidents: bits flipped, parts cut, doubled, swapped or inserted."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(raw) + 1)
        stop = min(len(raw), start + rng.choice([1, 1, 2, 8, 40, 400]))
        match rng.choice(["flip", "cut", "end", "insert", "double", "move"]):
            case "flip" if start < len(raw):
                flipped = raw[start] ^ (1 << rng.randrange(8))
                raw = raw[:start] + bytes([flipped]) + raw[start + 1 :]
            case "cut":
                raw = raw[:start] + raw[stop:]
            case "end":
                raw = raw[:start]
            case "insert":
                raw = raw[:start] + rng.choice(TOKENS) + raw[start:]
            case "double":
                raw = raw[:stop] + raw[start:stop] + raw[stop:]
            case "move":
                rest = raw[:start] + raw[stop:]
                target = rng.randrange(len(rest) + 1)
                raw = rest[:target] + raw[start:stop] + rest[target:]
    return raw


def mutated_values(values: Any, rng: random.Random) -> Any:
    """Nested values after one or two accidents: swapped, left out, renamed or doubled."""
    found = copy.deepcopy(values)
    for _ in range(rng.randint(1, 2)):
        place = rng.choice(list(_containers(found)))
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        match rng.choice(["swap", "swap", "swap", "leave out", "rename", "wrap", "double"]):
            case "swap":
                place[key] = copy.copy(rng.choice(ODD_VALUES))
            case "leave out":
                del place[key]
            case "rename" if isinstance(place, dict):
                odd = rng.choice([None, 40, "", "x" * 5000, ("a",), f"{key}x"])
                place[odd] = place.pop(key)
            case "wrap":
                place[key] = rng.choice([[place[key]], {"a": place[key]}])
            case "double":
                place[key] = [place[key]] * rng.choice([2, 1000])
    return found


def _containers(value: Any) -> Any:
    """All mappings and lists within a value that hold something."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _containers(inner)


def mutated_words(words: list[str], rng: random.Random) -> list[str]:
    """A command line after one to three accidents; words are what a shell can hand over."""
    odd = [str(value) for value in ODD_VALUES if isinstance(value, str | float | bool)]
    odd += ["--", "-", "-5", "--nope", "--lr", "--lr=", "--no-flip=3", "0x10", "1_000", "[1,2]"]
    odd = [word.replace("\0", "") for word in odd]
    found = list(words)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(found) + 1)
        match rng.choice(["insert", "swap", "leave out", "double", "shuffle"]):
            case "insert":
                found.insert(at, rng.choice(odd))
            case "swap" if at < len(found):
                found[at] = rng.choice(odd)
            case "leave out" if at < len(found):
                del found[at]
            case "double":
                found[at:at] = found[at : at + 2]
            case "shuffle":
                rng.shuffle(found)
    return found


def answer(attempt: Callable[..., Any], *arguments: Any) -> Any:
    """What an attempt returns, or None where it is refused as a user should be.

    A refusal is a `LabError` of three parts on one short line, or an argument parser that ends the
    program with status 2. Any other exception passes through, and a hang fails.
    """
    start, found, parts = time.perf_counter(), None, None
    try:
        found = attempt(*arguments)
    except LabError as refusal:
        parts, message = (refusal.given, refusal.allowed, refusal.remedy), str(refusal)
    except SystemExit as ending:
        code = ending.code
        parts, message = (code == 2,), f"ends with {code}"
    assert time.perf_counter() - start < LONGEST_SECONDS
    if parts is not None:
        assert all(parts), message
        assert len(message) <= LONGEST_MESSAGE, message
        assert message.isprintable(), message
    return found
