"""Looks that all pages share: the frame around a document, its keys, light and dark, colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import InlineStyleSheet
from bokeh.themes import Theme
from jinja2 import Template

from eventsnn.plots.figure import BLUE, ORANGE, VERMILION

# Grey that can be read on both backgrounds; the other colours are those of `eventsnn.plots.figure`.
GREY = "#8a8a8a"
INK = {"light": "#222222", "dark": "#e4e4e4"}
PAPER = {"light": "#ffffff", "dark": "#181b20"}
LINE = {"light": "#dddddd", "dark": "#3a4048"}
THEMES = ("light", "dark")

LEFT = 66  # pixels for the axis at the left, so that the plots stand under each other
OVER_TIME: dict[str, Any] = {
    "sizing_mode": "stretch_width",
    "active_drag": "xpan",
    "active_scroll": "xwheel_zoom",
    "toolbar_location": None,
    "min_border_left": LEFT,
    "min_border_right": 8,
    "min_border_top": 2,
    "min_border_bottom": 2,
}
"""Of a plot below the raster, on whose time axis it stands."""

_FRAME = """
{% from macros import embed %}
<!DOCTYPE html>
<html lang="en" data-theme="{{ look }}">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>{{ title | e }}</title>
<link rel="icon" href="data:,">
<style>
  :root { --ink: #222222; --paper: #ffffff; --line: #dddddd; --field: #ffffff; --faint: #6a6a6a;
          --chosen: #dcebf7; --head: #f3f3f3; --link: #0072b2; }
  :root[data-theme="dark"] { --ink: #e4e4e4; --paper: #181b20; --line: #3a4048; --field: #22262d;
          --faint: #a0a0a0; --chosen: #1f4260; --head: #22262d; --link: #5ab4ee; }
  html, body { margin: 0; background: var(--paper); color: var(--ink);
               font: 13px/1.4 system-ui, "DejaVu Sans", sans-serif; }
  body { padding: 6px 10px; box-sizing: border-box; }
</style>
{{ bokeh_css if bokeh_css }}
{{ bokeh_js if bokeh_js }}
</head>
<body>
{% for doc in docs %}{{ embed(doc) if doc.elementid }}
{% for root in doc.roots %}{{ embed(root) }}{% endfor %}{% endfor %}
{{ plot_script }}
{% if page_keys %}
<script>
(function () {
  const keys = {{ page_keys }};
  let count = 0;
  function send(command) {
    const doc = Bokeh.documents[0];
    const channel = doc && doc.get_model_by_name("command");
    if (channel) channel.value = command + " " + (++count);
  }
  const asked = new URLSearchParams(location.search).get("theme");
  const wanted = asked || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  if (wanted !== document.documentElement.dataset.theme) {
    const timer = setInterval(function () {
      if (Bokeh.documents[0] && Bokeh.documents[0].get_model_by_name("command")) {
        clearInterval(timer);
        send(wanted);
      }
    }, 50);
  }
  window.addEventListener("popstate", function () { send(location.search || "?"); });
  document.addEventListener("keydown", function (event) {
    const field = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (field && (field.tagName === "INPUT" || field.tagName === "SELECT")) return;
    const command = keys[event.key];
    if (command) { event.preventDefault(); send(command); }
  });
})();
</script>
{% endif %}
</body>
</html>
"""

_WIDGETS = """
:host { color: var(--ink); }
.bk-input, .bk-input-group select { background-color: var(--field); color: var(--ink);
  border-color: var(--line); min-height: 26px; height: 26px; padding: 0 6px; }
.bk-btn, .bk-btn.bk-btn-default { background-color: var(--field); color: var(--ink);
  border-color: var(--line); padding: 3px 8px; }
.bk-btn:hover { border-color: var(--link); }
.bk-btn.bk-active, .bk-btn-group .bk-btn.bk-btn-default.bk-active {
  background-color: var(--chosen); color: var(--ink); border-color: var(--link); }
.bk-data-table, .slick-viewport, .grid-canvas { background: var(--paper) !important; color: var(--ink); }
.slick-header-column, .slick-header-columns, .slick-header {
  background: var(--head) !important; color: var(--ink); }
.slick-header-column { border-color: var(--line) !important; font-weight: 600; padding: 3px !important; }
.slick-header-column, .slick-cell { font-size: 12px; }
.slick-sort-indicator { background: none !important; width: auto !important; margin: 0 !important; }
.slick-sort-indicator-asc::after { content: "\\25B4"; }
.slick-sort-indicator-desc::after { content: "\\25BE"; }
.slick-row, .slick-cell, .bk-cell-index { background: var(--paper) !important; color: var(--ink) !important;
  border-color: var(--line) !important; }
.slick-row .slick-cell.selected, .slick-row.active .slick-cell.selected {
  background: var(--chosen) !important; }
a { color: var(--link); }
h1 { font-size: 15px; margin: 0 10px 0 0; font-weight: 600; display: inline; }
h2 { font-size: 13px; margin: 2px 0; font-weight: 600; }
p { margin: 2px 0; }
.faint { color: var(--faint); }
.warning { color: #d55e00; font-weight: 600; }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 4px; background: var(--head); }
table { border-collapse: collapse; } td, th { padding: 1px 6px 1px 0; text-align: right; }
td:first-child, th:first-child { text-align: left; }
"""


def frame() -> Template:
    """The page around a document, rendered with `look` and `page_keys` (none for a file without a server)."""
    from bokeh.core.templates import get_env

    return get_env().from_string(_FRAME)


def sheet() -> InlineStyleSheet:
    """Style of widgets, which live in shadow roots: one for each document."""
    return InlineStyleSheet(css=_WIDGETS)


def make_theme(look: str) -> Theme:
    """Colours of plots, "light" or "dark"."""
    ink, paper, line = INK[look], PAPER[look], LINE[look]
    text: dict[str, Any] = {"text_color": ink}
    return Theme(
        json={
            "attrs": {
                "Plot": {
                    "background_fill_color": paper,
                    "border_fill_color": None,  # the page's own
                    "outline_line_color": line,
                },
                "Grid": {"grid_line_color": line, "grid_line_alpha": 0.6},
                "Axis": {
                    "axis_label_text_color": ink,
                    "axis_label_text_font_style": "normal",
                    "axis_label_text_font_size": "12px",
                    "axis_label_standoff": 4,
                    "major_label_text_color": ink,
                    "major_label_text_font_size": "11px",
                    "axis_line_color": line,
                    "major_tick_line_color": line,
                    "minor_tick_line_color": None,
                },
                "Title": {**text, "text_font_size": "12px", "text_font_style": "bold"},
                "Legend": {
                    "label_text_color": ink,
                    "label_text_font_size": "11px",
                    "background_fill_color": paper,
                    "background_fill_alpha": 0.8,
                    "border_line_color": None,
                },
                "BaseColorBar": {
                    "background_fill_color": paper,
                    "major_label_text_color": ink,
                    "title_text_color": ink,
                },
            }
        }
    )


def _blend(colours: list[str], count: int = 255) -> list[str]:
    """Colours between these, evenly spaced."""
    corners = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in colours], dtype=float)
    at = np.linspace(0.0, len(colours) - 1.0, count)
    mixed = np.stack([np.interp(at, np.arange(len(colours)), corners[:, k]) for k in range(3)], axis=1)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.rint(mixed).astype(int).tolist()]


def diverging(look: str) -> list[str]:
    """From inhibition through nothing to excitation."""
    return _blend([BLUE, PAPER[look], VERMILION])


def sequential(look: str) -> list[str]:
    """From nothing to much."""
    return _blend([PAPER[look], BLUE, INK[look]])


def polarity_colours(look: str) -> list[str]:
    """OFF, nothing, ON."""
    return [ORANGE, PAPER[look], BLUE]
