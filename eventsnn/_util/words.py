"""Words of messages: counts with their nouns."""

from __future__ import annotations


def number_of(n: int, noun: str) -> str:
    """A count and its noun, for people: ``"1 sample"``, ``"1,200 samples"``, ``"2 classes"``."""
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"
