"""One line of a verification: what was looked at, how it came out, and the figures."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "near", "differs", "unknown", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Args:
        subject: file or recipe.
        verdict: ok; near (as close as these inputs allow); differs; unknown (nothing published to
            compare with, figures only); skipped (an input is not here).
        text: figures, and for `skipped` what is needed.
    """

    subject: str
    verdict: Verdict
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:8s} {self.subject}: {self.text}"
