"""How Sphinx builds these pages: `sphinx-build -W -b html docs build/docs`."""

from __future__ import annotations

project = "mailqueue"
author = "the mailqueue authors"
copyright = "the mailqueue authors"

extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "mailqueue"
exclude_patterns = ["build"]
