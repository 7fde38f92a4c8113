"""Pages in the browser that show a trace, a recording or a training run (extra ``view``)."""

from __future__ import annotations

from eventsnn.view.open import export_page, serve_page

__all__ = ["export_page", "serve_page"]
