"""Names of classes, and the rule by which two names are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from eventsnn._util.words import number_of

_LONGEST_NUMBER = 18
"""Digits of a name that is read as a number; longer ones are text."""


def class_key(name: str) -> str:
    """Canonical form of a class name: names with the same one are the same class.

    A number is the same with and without zeros before it (``"03"`` and ``"3"``), and a letter with an accent
    is the same however it is composed: file systems differ in that.
    """
    text = unicodedata.normalize("NFC", name.strip())
    return str(int(text)) if text.isdecimal() and len(text) <= _LONGEST_NUMBER else text


def match_classes(names: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Position in `known` of every one of `names`; None for a name that is not there.

    Names that differ in case only are the same where that leaves no doubt.
    """
    exact = {class_key(name): number for number, name in enumerate(known)}
    folded: dict[str, list[int]] = {}
    for key, number in exact.items():
        folded.setdefault(key.casefold(), []).append(number)
    numbers: list[int | None] = []
    for name in names:
        key = class_key(name)
        alike = folded.get(key.casefold(), [])
        numbers.append(exact.get(key, alike[0] if len(alike) == 1 else None))
    return numbers


def are_numbers(names: Sequence[str]) -> bool:
    """Whether the names are just the class numbers, 0, 1, 2, ..."""
    return all(class_key(name) == str(number) for number, name in enumerate(names))


def name_class(classes: Sequence[str] | None, output: int | None) -> str | None:
    """Name of the class of an output neuron; None without a decision or a name."""
    return classes[output] if classes and output is not None and output < len(classes) else None


def describe_names(names: Sequence[str]) -> str:
    """How many classes there are, and the first of their names where they are more than their numbers."""
    word = number_of(len(names), "class")
    return word if are_numbers(names) else f"{word} ({list_names(names, 4)})"


def list_names(names: Sequence[str], most: int = 12) -> str:
    """Names for an error text, the first few of them."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def printable(text: str) -> str:
    """A name made printable: undecodable bytes and line ends are escaped."""
    shown = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in shown)
