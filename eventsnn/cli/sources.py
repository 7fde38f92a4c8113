"""Labelled recordings and images as the options of a command describe them, defined once for all commands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from eventsnn.cli.common import note
from eventsnn.cli.reading import reading_options, refuse, spell
from eventsnn.cli.setting import settings_option

F = TypeVar("F", bound=Callable[..., Any])

_REGION = ("t_from", "t_until", "crop", "downsample", "merge_polarities", "stream", "sample")
"""Fields of `ReadingOptions` that choose events; the others say how files are decoded."""


@dataclass(frozen=True)
class SourceOptions:
    """What the options say about labelled recordings or images.

    Attributes
    ----------
    name : str, optional
        Of the source that opens them; left out, the data show what they are.
    settings : tuple of (str, value)
        Of that source.
    split, label_from : str, optional
        Of folders.
    limit : int, optional
        Of images.
    reading : dict of str to object
        Fields of `ReadingOptions` that were given.
    bad_files : {"error", "skip"}
    """

    name: str | None
    settings: tuple[tuple[str, Any], ...]
    split: str | None
    label_from: str | None
    limit: int | None
    reading: dict[str, Any]
    bad_files: str

    def open(
        self,
        root: Path,
        *,
        size: tuple[int, int, int] | None = None,
        planned: Mapping[str, Any] | None = None,
        otherwise: str = "train",
        coding: Mapping[str, Any] | None = None,
    ) -> Any:
        """A data set: of the source that was named, images if they may be some (`coding`), or recordings.

        See `open_recordings` and `open_images` for the arguments; `coding` has `coder` and `seed`.
        """
        found = self._open_named(root, planned or {}, coding or {})
        if found is None and coding is not None:
            found = self.open_images(root, otherwise=otherwise, **coding)
        return self.open_recordings(root, size=size, planned=planned) if found is None else found

    def _open_named(self, root: Path, planned: Mapping[str, Any], coding: Mapping[str, Any]) -> Any:
        """The data set of the source that was named; None without a name.

        An option that the source does not take is refused, unless it need not be given (`bad_files`, `coder`,
        `seed`).
        """
        from eventsnn._util.arguments import find_parameters
        from eventsnn.data.sources import SOURCES, open_source
        from eventsnn.events import ReadingOptions

        if self.name is None:
            if self.settings:
                raise click.UsageError("--set is for a source: name it with --source.")
            return None
        known, _ = find_parameters(SOURCES.get(self.name), skip=1)
        choices = {"split": self.split, "label_from": self.label_from, "limit": self.limit, **coding}
        choices |= {"bad_files": self.bad_files, "reading": self.reading or None}
        options = {name: value for name, value in choices.items() if value is not None}
        for name in options.keys() - {*known, "bad_files", "coder", "seed"}:
            what = "options for reading recordings are" if name == "reading" else f"--{name} is"
            raise click.UsageError(f"{what.replace('_', '-')} not for source {self.name!r}.")
        options = {name: value for name, value in options.items() if name in known}
        if "reading" in known and (reading := {**planned, **self.reading}):
            options["reading"] = ReadingOptions(**reading)
        source = open_source(self.name, root, **{**options, **dict(self.settings)})
        if "reading" not in known:
            _check_reading(root, source, planned)
        return source

    def open_recordings(
        self,
        root: Path,
        *,
        size: tuple[int, int, int] | None = None,
        planned: Mapping[str, Any] | None = None,
    ) -> Any:
        """A folder of ``<label>/<recordings>``, or a file that ``eventsnn pack`` made.

        `size` is that of the network's input, if any; `planned` are the fields of `ReadingOptions` that hold
        where no option says otherwise, those of an experiment or a model. A packed file holds events as they
        were read: what it should have been made with, and was not, is refused.
        """
        from eventsnn.data import Folder, Packed
        from eventsnn.events import ReadingOptions

        planned = planned or {}
        if not root.is_file():
            options = ReadingOptions(**{**planned, **self.reading})
            return Folder(
                root,
                split=None if self.split is None else self.split.capitalize(),
                bad_files=self.bad_files,  # type: ignore[arg-type]
                label_from=self.label_from or "top",  # type: ignore[arg-type]
                reading=options if size is None else options.for_input(size),
            )
        _refuse_split(root, self.split)
        if self.label_from is not None:
            raise click.UsageError(f"--label-from is for folders; {root} is a file that names its classes.")
        packed = Packed(root, bad_files=self.bad_files)  # type: ignore[arg-type]
        same = {"sensor"} if self.reading.get("sensor") == packed.sensor_size else set()
        refuse(self.reading, f"is for recordings; {root} holds what pack has read. Give it to pack.", same)
        _check_reading(root, packed, planned)
        return packed

    def open_images(self, root: Path, *, otherwise: str, **given: Any) -> Any:
        """Labelled images of IDX files, or None if `root` is something else, for which `limit` is refused.

        `otherwise` is the split of a folder where no option says it; `given` goes to `Images.open`.
        """
        from eventsnn.data.images import Images, is_idx

        if not is_idx(root):
            if self.limit is not None:
                raise click.UsageError(f"--limit is for images, and {root} holds none (no IDX file).")
            return None
        refuse(self.reading, f"is for recordings; {root} holds images.")
        if root.is_file():
            _refuse_split(root, self.split)
        elif self.split is None:
            note(f"taking the {otherwise} images in {root}")
        return Images.open(root, self.split or otherwise, limit=self.limit, **given)


def _check_reading(root: Path, source: Any, planned: Mapping[str, Any]) -> None:
    """Refuse a set of which other events were kept than are asked for, by the experiment or the model."""
    reading = getattr(source, "reading", None)
    made = {} if reading is None else reading.given()
    for name in _REGION:
        if name in planned and planned[name] != made.get(name):
            words = " ".join(spell({name: planned[name]}))
            raise click.UsageError(
                f"{root} was made without {words}, which the experiment or the model asks for; "
                f"pack the recordings again with {words}."
            )


def _refuse_split(file: Path, split: str | None) -> None:
    if split is not None:
        raise click.UsageError(f"--split is for folders; {file} is a file, which holds one part only.")


def source_options(*, split: str, sensor: str, images: bool = True) -> Callable[[F], F]:
    """Options for a labelled set, which the command gets as one argument `source`, a `SourceOptions`.

    Parameters
    ----------
    split : str
        Help of ``--split``.
    sensor : str
        What ``--help`` calls the default of ``--sensor``.
    images : bool
        Whether the command takes images too: adds ``--limit``.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def run(
            *,
            split: str | None,
            label_from: str | None,
            reading: dict[str, Any],
            bad_files: str,
            source: str | None,
            settings: tuple[tuple[str, Any], ...],
            limit: int | None = None,
            **arguments: Any,
        ) -> Any:
            chosen = SourceOptions(source, settings, split, label_from, limit, reading, bad_files)
            return command(source=chosen, **arguments)

        decorated: Any = reading_options(sensor=sensor, on_cut="error", files=True)(run)
        options = [split_option(split), _LABEL_FROM, *([limit_option] if images else []), _SOURCE, _SETTINGS]
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def split_option(text: str) -> Callable[[F], F]:
    """``--split``."""
    return click.option("--split", type=click.Choice(["train", "test"], case_sensitive=False), help=text)


_LABEL_FROM = click.option(
    "--label-from",
    type=click.Choice(["top", "parent"]),
    help="Folder that names the class of a recording: the top one (left/subject1/0.npy; the default), or the "
    "parent, which contains the recording (subject1/left/0.npy).",
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Images only: use the first N."
)
_SOURCE = click.option(
    "--source",
    metavar="NAME",
    help="Open the data with this source: folder, nmnist, packed, images, speech, or one of another package. "
    "By default the data show what they are.",
)
_SETTINGS = settings_option("A setting of --source", "limit=100")
