"""Adds the pages that are made from code to the site; MkDocs calls it (mkdocs.yml: hooks)."""

from __future__ import annotations

from made_pages import made_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site with those that are made."""
    for name, text in made_pages().items():
        files.append(File.generated(config, name, content=text))
    return files
