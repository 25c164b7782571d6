"""How Sphinx makes a site of these pages, which are plain Markdown first: ``tox -e docs``."""

from __future__ import annotations

from conformance.contract.version import VERSION

project = "caffe-loss-conformance"
version = release = VERSION
project_copyright = "its contributors, BSD-2-Clause"

extensions = ["myst_parser"]
root_doc = "contents"  # so that index.md needs no directive that a reader of plain Markdown would see
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]

myst_heading_anchors = 3
nitpicky = True

html_theme = "alabaster"
html_theme_options = {
    "description": "What Caffe's loss layers compute, and who computes it.",
    "fixed_sidebar": True,
    "page_width": "1100px",
}
html_show_sourcelink = False
