"""A trace's page in a notebook."""

from __future__ import annotations

import re
import sys
from urllib.request import urlopen

import pytest

pytest.importorskip("bokeh")

from eventsnn.errors import MissingExtraError, TraceError
from eventsnn.trace import Trace
from eventsnn.view.notebook import NotebookPage


def test_page_is_served_until_it_is_closed(trace: Trace) -> None:
    page = trace.view(sample=1, path="output:0:0", height=500)
    try:
        (address,) = re.findall(r"<iframe src='([^']*)' width='100%' height='500'", page._repr_html_())
        assert address == page.address
        assert address.endswith("&sample=1&path=output%3A0%3A0")
        with urlopen(address, timeout=60.0) as answer:
            assert b"Bokeh" in answer.read()
    finally:
        page.close()
    with pytest.raises(OSError, match="refused"):
        urlopen(page.address, timeout=10.0)
    page.close()


def test_errors_come_to_the_caller(trace: Trace, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TraceError, match="no such file"):
        NotebookPage(tmp_path / "none.h5", {})
    monkeypatch.setitem(sys.modules, "bokeh", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'eventsnn\[view\]'"):
        trace.view()
