"""Things that are found by name: those of the package, those registered, those other packages bring along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast

from eventsnn._util.numbers import describe

T = TypeVar("T")


class Registry(Generic[T]):
    """Things of one kind by name.

    A name of the package leads to ``"module:object"``, which is imported when it is asked for. Other packages
    declare entry points, which are looked at only when a name is not known otherwise.

    Parameters
    ----------
    what : str
        What is registered, as error texts call it.
    field : str
        The setting that holds a name, as error texts call it: ``"optimiser: name"``.
    entries : mapping of str to str
        ``name: "module:object"``.
    failure : callable
        Makes the error of a text.
    group : str, optional
        Entry point group of other packages.
    extra : tuple of str
        What the setting may hold besides names, as the error of an unknown one lists it.
    """

    def __init__(
        self,
        what: str,
        field: str,
        entries: Mapping[str, str],
        failure: Callable[[str], Exception],
        group: str | None = None,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.what, self.field, self.group = what, field, group
        self._entries: dict[str, Any] = dict(entries)
        self._failure = failure
        self.extra = extra

    def register(self, name: str, entry: T) -> None:
        """Add an entry; an error if the name is taken by another one."""
        if not isinstance(name, str) or not name:
            raise self._failure(f"the name of a {self.what} must be a text, got {name!r}")
        if self._entries.get(name, entry) is not entry:
            raise self._failure(f"there is a {self.what} called {name!r} already; choose another name")
        self._entries[name] = entry

    def unregister(self, name: str) -> None:
        """Forget an entry that was registered."""
        self._entries.pop(name, None)

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the package and registered ones, without a look at other packages, which takes time."""
        return tuple(self._entries)

    def names(self) -> tuple[str, ...]:
        """All names, those of other packages last."""
        return tuple(dict.fromkeys([*self._entries, *(point.name for point in self._points())]))

    def get(self, name: Any) -> T:
        """The entry of a name; the error for an unknown name lists all names."""
        entry = self.find(name)
        if entry is None:
            names = ", ".join((*self.extra, *self.names()))
            raise self._failure(f"{self.field} must be one of {names}, got {describe(name)}")
        return entry

    def find(self, name: Any) -> T | None:
        """The entry of a name, or None."""
        if not isinstance(name, str):
            return None
        entry = self._entries.get(name)
        if entry is None:
            point = next((point for point in self._points() if point.name == name), None)
            if point is None:
                return None
            entry = self._entries[name] = self._load(point)
        elif isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = attrgetter(attribute)(import_module(module))
        return cast(T, entry)

    def values(self, others: bool = True) -> tuple[T, ...]:
        """All entries, those of other packages last; without `others` those of `known`."""
        return tuple(self.get(name) for name in (self.names() if others else self.known))

    def __iter__(self) -> Iterator[T]:
        return iter(self.values())

    def _load(self, point: Any) -> Any:
        """Import the object of an entry point; the error names the package."""
        try:
            return point.load()
        except Exception as error:
            package = getattr(point.dist, "name", "another package")
            raise self._failure(
                f"{self.what} {point.name!r} of {package} cannot be imported from {point.value}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _points(self) -> tuple[Any, ...]:
        if self.group is None:
            return ()
        from importlib.metadata import entry_points  # takes longer than all of `import eventsnn`

        return tuple(entry_points(group=self.group))
