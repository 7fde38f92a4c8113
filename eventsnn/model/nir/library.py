"""The package nir, imported where it is needed."""

from __future__ import annotations

from typing import Any

from eventsnn.errors import MissingExtraError


def import_nir(purpose: str = "reading and writing NIR") -> Any:
    """The module `nir`; MissingExtraError, which names the extra, where it is not installed."""
    try:
        import nir
    except ImportError:
        raise MissingExtraError("nir", "nir", purpose) from None
    return nir
