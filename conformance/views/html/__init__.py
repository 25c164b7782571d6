"""The report as one HTML file: no network, nothing but text from the implementation."""

from conformance.views.html.page import html_page

__all__ = ["html_page"]
