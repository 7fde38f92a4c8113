"""Event streams: what a recording is, and the files it comes from."""

from __future__ import annotations

from eventsnn.events.files import detect_format, read, write
from eventsnn.events.stream import EVENT_DTYPE, EventStream

__all__ = ["EVENT_DTYPE", "EventStream", "detect_format", "read", "write"]
