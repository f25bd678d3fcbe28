"""Print the script by which a shell completes `lnl`: commands, their flags, the values of these.

    uv run lnl completion bash > ~/.local/share/bash-completion/completions/lnl
    uv run lnl completion zsh > ~/.zfunc/_lnl

It takes some seconds, since every program is asked for its flags. zsh needs `fpath+=~/.zfunc` and
`autoload -Uz compinit && compinit` in ~/.zshrc. After an update the script is to be printed anew.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from functools import partial, reduce
from operator import or_
from typing import Annotated, Any, Literal

import tyro

from lnl.one_run import methods
from pipeline.command_line import read_flags, reads_of
from pipeline.errors import program
from pipeline.installation import PROGRAMS


@dataclass(frozen=True)
class Flags:
    """Print a script."""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """Which shell reads it."""


def tree() -> Any:
    """All commands with what they read, as a type that tyro reads."""
    read = {word: reads_of(importlib.import_module(one.module).main)
            for word, one in PROGRAMS.items() if word != "run"}  # fmt: skip
    return _one_of(read | {"run": _reads_of_methods()})


def _reads_of_methods() -> dict[str, Any]:
    from pipeline.runs.script import run_script
    from pipeline.runs.settings.methods import load_method

    return {name: reads_of(partial(run_script, load_method(name), [])) for name in methods()}


def _one_of(read: Mapping[str, Any]) -> Any:
    commands = [_command(word, one) for word, one in read.items()]
    # One alone is no choice: the second one is shown to nobody.
    return reduce(or_, [*commands, Annotated[None, tyro.conf.Suppress]])


def _command(word: str, reads: Any) -> Any:
    if isinstance(reads, Mapping):
        reads = make_dataclass(word, [("command", _one_of(reads))])
    return Annotated[Any, tyro.conf.subcommand(name=word, constructor=reads)]


@program
def main() -> None:
    """Print the script for the shell that the command line names."""
    flags = read_flags(Flags, __doc__)
    tyro.cli(tree(), args=["--tyro-write-completion", flags.shell, "-"], prog="lnl",
             config=(tyro.conf.OmitSubcommandPrefixes,))  # fmt: skip


if __name__ == "__main__":
    main()
