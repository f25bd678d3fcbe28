"""Where this code lies, and the words that start its programs there.

In a checkout, and in the image, it is the project folder, and programs are started as README says.
Where a wheel was installed it lies among other packages, and there is one command, `lnl`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pipeline


class Program(NamedTuple):
    """A program of the laboratory."""

    module: str
    """Whose `main` it is."""
    says: str
    """What it does, in one sentence."""


PROGRAMS = {
    "init": Program("lnl.first_params", "Write a params.yaml to edit into the current folder."),
    "prepare": Program("pipeline.stages.data", "Prepare a data set."),
    "labels": Program("pipeline.stages.noise", "Make a label table of a data set."),
    "encoder": Program("pipeline.stages.encoder", "Make an encoder, or bring it in."),
    "run": Program("lnl.one_run", "Train a method on a data set and its labels: one run."),
    "grid": Program("pipeline.stages.runs", "Compute what is missing of the grid of params.yaml."),
    "tune": Program("pipeline.stages.tune", "Search for settings by noisy validation."),
    "predict": Program("pipeline.predict", "Ask the model of a run about new images."),
    "export": Program("pipeline.export", "Write the model of a run as an ONNX file."),
    "leaderboard": Program("analysis.leaderboard", "Compare methods under a named protocol."),
    "report": Program("analysis.report", "Write the report: one HTML file that opens offline."),
    "runs": Program("analysis.runs", "List runs, show one, set two side by side."),
    "label-errors": Program("analysis.label_errors", "Say which given labels are suspect."),
    "paper-delta": Program("analysis.paper_delta", "Put runs beside published numbers."),
    "findings": Program("analysis.findings", "Judge what was stated about a grid before it ran."),
    "noise-report": Program("analysis.noise_report", "Compare the label tables of a data set."),
    "noise": Program("pipeline.noise.__main__", "List, show, import, mend, verify label tables."),
    "data": Program("pipeline.data.__main__", "Verify prepared data sets."),
    "results": Program("pipeline.results.__main__", "Look after the store of results."),
    "tracker": Program("pipeline.results.tracker", "Mirror stored runs to MLflow."),
    "completion": Program("lnl.completion", "Print what completes these commands in a shell."),
}
"""By the word that `lnl` has for each."""


def code_folder() -> Path:
    """The folder that holds the packages of this code."""
    return Path(pipeline.__file__).resolve().parent.parent


def is_checkout() -> bool:
    """Whether that is a project folder, as in a clone and in the image: no wheel has a dvc.yaml."""
    return (code_folder() / "dvc.yaml").is_file()


def as_typed(text: str) -> str:
    """A text with its commands as they are typed where this code lies.

    Args:
        text: its commands are those of a checkout, and begin with `uv run`.

    Returns:
        The same in a checkout; elsewhere programs of the laboratory are commands of `lnl`, and
        others are started without uv.
    """
    return text if is_checkout() else _COMMAND.sub(_of_lnl, text)


_COMMAND = re.compile(
    r"uv run (?:python (?:-m )?(?P<program>(?:analysis|pipeline)[./][\w./]*\w)|"
    r"accelerate launch methods/(?P<method>\w+)\.py|(?P<dvc>dvc repro(?: runs)?)\b|)"
)
_WORDS = {one.module.removesuffix(".__main__"): word for word, one in PROGRAMS.items()}


def _of_lnl(found: re.Match[str]) -> str:
    if found["program"]:
        module = found["program"].removesuffix(".py").replace("/", ".")
        return f"lnl {_WORDS[module]}" if module in _WORDS else f"python -m {module}"
    if found["method"]:
        return f"lnl run {found['method']}"
    return "lnl grid" if found["dvc"] else ""
