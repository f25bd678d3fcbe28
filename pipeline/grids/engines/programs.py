"""The program that submitted something, found again by a later one on the same machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

import psutil


def this_program() -> dict[str, Any]:
    """Facts that name this program: host, process, and when it began."""
    process = psutil.Process()
    return {"host": platform.node(), "process": process.pid, "born": process.create_time()}


def is_this_program(facts: Mapping[str, Any]) -> bool:
    """Whether such facts name this program."""
    return (facts["host"], facts["process"]) == (platform.node(), os.getpid())


def program_of(facts: Mapping[str, Any]) -> psutil.Process | None:
    """The program of this host that such facts name, if it is there."""
    try:
        program = psutil.Process(facts["process"])
        is_it = facts["host"] == platform.node() and program.create_time() == facts["born"]
    except psutil.Error:
        return None
    return program if is_it else None
