"""How Sphinx makes a site of these pages, which are plain Markdown first: ``tox -e docs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from conformance.contract.version import VERSION

sys.path.insert(0, str(Path(__file__).parents[1]))  # docs.mathml and docs.pictures, from wherever the site is built

project = "caffe-loss-conformance"
version = release = VERSION
project_copyright = "its contributors, BSD-2-Clause"

extensions = ["myst_parser", "docs.mathml", "docs.pictures"]
root_doc = "contents"  # so that index.md needs no directive that a reader of plain Markdown would see
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]

myst_heading_anchors = 3
myst_fence_as_directive = ["math"]  # as GitHub takes it
nitpicky = True

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False


def _accessible(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Headings in the navigation say of which level they are, and keys reach what scrolls."""
    if "furo_navigation_tree" in context:
        tree = context["furo_navigation_tree"]
        context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    if "body" in context:
        body = context["body"].replace("<pre>", '<pre tabindex="0">')
        context["body"] = body.replace('<table class="docutils', '<table tabindex="0" class="docutils')


def _beside(app: Any, error: Exception | None) -> None:
    """The site of the scoreboard goes beside the pages."""
    from docs.scoreboard import site

    if error is None:
        site(Path(app.outdir) / "scoreboard")


def setup(app: Any) -> None:
    app.connect("html-page-context", _accessible, priority=900)
    app.connect("build-finished", _beside)
