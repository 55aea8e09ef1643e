"""The documentation as a site: `make docs` -> site/index.html. Sphinx reads the Markdown pages as they stand (MyST)."""

project = "Windvane"
author = "the Windvane developers"
copyright = "the Windvane developers, Apache-2.0"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["claims/*.json"]
html_theme = "furo"
html_title = "Windvane"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 3
