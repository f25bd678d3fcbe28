"""Where things lie that tests read."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
"""The folder of this code."""
REFERENCES = PROJECT / "tests" / "reference"
"""Small data computed by the authors' code, and lists in their published form."""
