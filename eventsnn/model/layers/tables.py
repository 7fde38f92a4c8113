"""Descriptions of parts of a network from and to plain tables, for TOML and JSON files."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

from eventsnn._util.arguments import describe_unknown
from eventsnn.errors import NetworkError


def given_fields(part: Any) -> list[Field[Any]]:
    """The fields of a description, or of its class, that a user gives; those that follow from the network,
    with `derived` in their metadata, are left out."""
    kept = [field for field in fields(part) if field.init and not field.metadata.get("derived")]
    return sorted(kept, key=lambda field: field.kw_only is True)


def build_from_table(cls: type[Any], table: Any, owner: str) -> Any:
    """Make a description from a table of a file, refusing fields that it does not have.

    Raises
    ------
    NetworkError
        Naming `owner`, the field and the fields there are.
    """
    if not isinstance(table, dict):
        raise NetworkError(f"{owner} must be a table, got {table!r}")
    known = [field.name for field in given_fields(cls)]
    for key in table:
        if key not in known:
            raise NetworkError(f"{owner}: {describe_unknown(key, known)}")
    try:
        return cls(**table)
    except TypeError as error:
        raise NetworkError(f"{owner}: {error}") from None


def without_new_defaults(part: Any, table: dict[str, Any]) -> dict[str, Any]:
    """A table without the fields named in `part.new_fields` that are at their default.

    So files of networks that do without stay as they were before there were these fields.
    """
    defaults = {field.name: field.default for field in fields(part) if field.name in part.new_fields}
    return {name: value for name, value in table.items() if name not in defaults or value != defaults[name]}
