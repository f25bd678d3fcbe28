"""HTML pages that need no other file, made from the templates of this folder."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def page(template: str, **content: Any) -> str:
    """A page.

    Args:
        template: file below analysis/.
        content: what it shows; text is escaped.

    Returns:
        HTML.
    """
    pages = Environment(
        loader=PackageLoader("analysis", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return pages.get_template(template).render(**content)


def data_uri(png: bytes) -> str:
    """A picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
