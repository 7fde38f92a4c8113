"""A page as one file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.resources import Resources


def render(fill: Callable[[Document], Any]) -> str:
    """HTML of a document with all scripts, styles and data inside."""
    document = Document()
    fill(document)
    return file_html(
        document,
        Resources(mode="inline"),
        title=document.title,
        template=document.template,
        template_variables=document.template_variables,
        suppress_callback_warning=True,
    )
