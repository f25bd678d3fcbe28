"""The one rule for names that become folders, DVC stages and words of a command line."""

import re

from pipeline.errors import LabError, quoted

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Read by YAML as something else than text."""


def checked_name(name: object, what: str) -> str:
    """The name itself, if it can be a folder, a DVC stage and a word of a command line.

    Args:
        name: as it was given: a key of params.yaml, a flag, a field of a card.
        what: what it names, such as `noise` or `data set`, for the error.

    Returns:
        The name.

    Raises:
        LabError: for anything else than text, and for text that a path, a shell, YAML or DVC would
            read as something else.
    """
    if isinstance(name, str) and _NAME.fullmatch(name) and name.lower() not in _YAML_WORDS:
        return name
    raise LabError(
        f"{what} name {quoted(name)}",
        "1 to 64 letters, digits, '_' and '-', a letter first, and no word that YAML reads as "
        "yes, no or nothing",
        _near(name),
    )


def _near(name: object) -> str:
    """A name that would pass and resembles the given one."""
    text = name if isinstance(name, str) else quoted(name)
    # As in the names of noises that are given by their rate.
    text = re.sub(r"(?<=\d)\.(?=\d)", "_", text[:64])
    text = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    text = text if text[:1].isalpha() else f"n{text}"
    return text[:64] if text.lower() not in _YAML_WORDS else f"{text}-1"
