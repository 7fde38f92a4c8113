"""Equations as drawings in the page: no network, no JavaScript, no LaTeX, no font that a reader may lack."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import ziamath
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

ziamath.config.svg2 = False  # glyphs as paths: no identifiers, which must differ within a page
SIZE = 24.0  # of the drawing; the page scales it to its text
SCALE = 1.08 / SIZE  # em per unit, for symbols as large as the letters beside them


def draw(tex: str, inline: bool) -> str:
    """An SVG element that takes the colour and the size of the text; its label is the formula's source."""
    formula = ziamath.Latex(tex, size=SIZE, inline=inline, color="currentColor")
    svg = formula.svg()
    width, height = (float(re.search(rf'{name}="([\d.]+)"', svg)[1]) for name in ("width", "height"))
    below = height + float(re.search(r'viewBox="\S+ (-?[\d.]+)', svg)[1])  # the baseline is at 0
    style = f"width:{width * SCALE:.3f}em;height:{height * SCALE:.3f}em;vertical-align:{-below * SCALE:.3f}em"
    head = f'<svg class="equation" role="img" aria-label="{escape(tex)}" style="{style}"'
    return re.sub(r'(?<=^<svg) (.*?)width="[^"]*" height="[^"]*"', r" \1", svg.strip(), count=1).replace(
        "<svg", head, 1
    )


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula in a line of text."""
    self.body.append(draw(node.astext(), inline=True))
    raise nodes.SkipNode


def visit_display(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed equation, with its number and a link to it if it has a label."""
    self.body.append(self.starttag(node, "div", CLASS="equation"))
    self.body.append(f'<div class="formula">{draw(node.astext(), inline=False)}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name ``drawn``."""
    app.add_html_math_renderer("drawn", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
