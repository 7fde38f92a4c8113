"""File formats of event recordings: one module per format, and the list of them."""

from __future__ import annotations

from eventsnn.events.formats.base import EventFormat
from eventsnn.events.formats.nmnist import NMNISTFormat

FORMATS: tuple[EventFormat, ...] = (NMNISTFormat(),)
"""All known formats, in the order in which they are tried."""

__all__ = ["FORMATS", "EventFormat", "NMNISTFormat"]
