"""Corpora of spoken words: folders of sound files, turned into recordings of spikes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from eventsnn._util.arguments import check_choice
from eventsnn.data.source import BadFiles, Source, choose_bad_files
from eventsnn.encode.audio import read_sound
from eventsnn.encode.speech import SpeechEncoder
from eventsnn.errors import EventFileError, SimulationError, TrainingError
from eventsnn.events.stream import EventStream

Part = Literal["train", "test"]

_SUFFIX = ".wav"
_DIGITS = tuple("0123456789")
_LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FIRST_TRAINING_TAKE = 5


@dataclass(frozen=True)
class Utterance:
    """One spoken word.

    Attributes
    ----------
    path : str
        The sound file.
    word : str
        What was said, the name of the class.
    speaker : str
        Who said it.
    part : {"train", "test"}
        Which half of the corpus' own division it belongs to.
    """

    path: str
    word: str
    speaker: str
    part: Part


@dataclass(frozen=True)
class Corpus:
    """How a corpus names its files.

    Attributes
    ----------
    name : str
    pattern : str
        A name without suffix, as a regular expression with the groups word, speaker and take.
    words : tuple of str
        The classes, in their order; files of other words are left out.
    example : str
        A file name, for error messages.
    """

    name: str
    pattern: str
    words: tuple[str, ...]
    example: str

    def parse(self, path: Path) -> Utterance | None:
        """Content of a file's name; None if it is not of this corpus, or not one of its `words`."""
        match = re.fullmatch(self.pattern, path.stem, flags=re.IGNORECASE)
        if match is None:
            return None
        word = match["word"].upper()
        if self.name != "fsdd":
            # A digit is '00' .. '09', a letter '0A' .. '0Z'.
            word = word.removeprefix("0")
        if word not in self.words:
            return None
        if self.name == "fsdd":
            part: Part = "test" if int(match["take"]) < _FIRST_TRAINING_TAKE else "train"
        else:
            part = "train" if match["take"].lower() == "se" else "test"
        return Utterance(os.fspath(path), word, match["speaker"].lower(), part)


_TI46 = r"(?P<word>[0-9A-Z]{2})(?P<speaker>[fm][1-8])(?P<take>se|s[1-8])t[0-9A-Z]"

CORPORA = {
    corpus.name: corpus
    for corpus in (
        # <digit>_<speaker>_<take>; takes 0 .. 4 are for the test (the data set's own division since 2020).
        Corpus("fsdd", r"(?P<word>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)", _DIGITS, "7_jackson_32.wav"),
        # Word, speaker, session, token, two characters each; session 'se' (enrolment) is for training.
        Corpus("ti46-digits", _TI46, _DIGITS, "07f1set0.wav"),
        Corpus("ti46-letters", _TI46, _LETTERS, "0Gm3s1t0.wav"),
    )
}
"""The corpora that are known, by name."""


class Speech(Source):
    """Spoken words in sound files, encoded when they are read; a `LabelledSource`.

    Encoding takes longer than reading what is encoded already: write the set once with `pack` (or
    ``eventsnn encode``) and train on that.

    Parameters
    ----------
    root : path
        Folder of sound files, at any depth.
    corpus : {"fsdd", "ti46-digits", "ti46-letters"}
        How they are named; see `CORPORA`.
    part : {"train", "test"}, optional
        A part of the corpus' own division; left out, both.
    speakers, without : collection of str, optional
        These speakers only; not these. Names as in the files, lower case.
    encoder : Encoder of sounds or callable, optional
        An encoder, or what makes one from the sample rate of the first readable file, Hz; left out,
        `SpeechEncoder.for_rate`.
    bad_files, on_bad
        As in `Packed`.

    Attributes
    ----------
    utterances : list of Utterance
        By class, then speaker, then file name.
    paths, labels, classes, sensor_size
        As `LabelledSource` has them; the encoder's `sensor_size`, or else a line of its channels.
    encoder : Encoder

    Raises
    ------
    EventFileError
        No such folder, no files of this corpus in it, or its first file cannot be read.
    TrainingError
        A word for `corpus`, `part` or `bad_files` that is none of those above, or an unknown speaker.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        corpus: str = "fsdd",
        *,
        part: Part | None = None,
        speakers: Collection[str] | None = None,
        without: Collection[str] = (),
        encoder: Any = None,
        bad_files: BadFiles | None = None,
        on_bad: str | None = None,
    ) -> None:
        bad_files = choose_bad_files(bad_files, on_bad)
        check_choice("corpus", corpus, CORPORA, TrainingError)
        if part is not None:
            check_choice("part", part, get_args(Part), TrainingError)
        self.root = os.fspath(root)
        kind = CORPORA[corpus]
        listed = list_utterances(root, kind)
        known = {utterance.speaker for utterance in listed}
        for name in (*(speakers or ()), *without):
            if name not in known:
                raise TrainingError(
                    f"no speaker {name!r} in {self.root}; there are {', '.join(sorted(known))}"
                )
        self.utterances = [
            u
            for u in listed
            if part in (None, u.part)
            and (speakers is None or u.speaker in speakers)
            and u.speaker not in without
        ]
        if not self.utterances:
            raise EventFileError(root, "no sound file is left by this choice of part and speakers")
        self.classes = kind.words
        labels = np.array([kind.words.index(u.word) for u in self.utterances], np.int64)
        self.paths, self.labels, self.bad_files = [u.path for u in self.utterances], labels, bad_files
        make = SpeechEncoder.for_rate if encoder is None else encoder
        self.encoder = self._make_encoder(make) if callable(make) else make
        self.sensor_size = getattr(self.encoder, "sensor_size", (self.encoder.channels, 1, 1))

    def stream(self, index: int) -> EventStream:
        """Read and encode recording `index`.

        Raises
        ------
        EventFileError
            It cannot be read, or has another sample rate than the encoder.
        """
        path = self.paths[index]
        sound = read_sound(path)
        if sound.rate != self.encoder.sample_rate:
            raise EventFileError(
                path,
                f"has {sound.rate} samples a second, and the encoder is for "
                f"{self.encoder.sample_rate:g}; resample it",
            )
        stream: EventStream = self.encoder.encode(sound.samples)
        return stream

    def _make_encoder(self, make: Callable[[int], Any]) -> Any:
        """The encoder for the first readable file."""
        problem: Exception | None = None
        for path in self.paths:
            try:
                return make(read_sound(path).rate)
            except EventFileError as error:
                if self.bad_files == "error":
                    raise
                problem = error
            except SimulationError as error:
                raise EventFileError(path, str(error)) from None
        raise EventFileError(self.root, f"no file of it can be read; the last: {problem}")


def list_utterances(root: str | os.PathLike[str], corpus: Corpus) -> list[Utterance]:
    """Sound files of a corpus in a folder and the folders below it, by class, speaker, file name.

    Raises
    ------
    EventFileError
        No such folder, it cannot be listed, two files have the same name, or none is of the corpus.
    """
    folder = Path(root)
    if not folder.is_dir():
        problem = "is a file; a folder of sound files is needed" if folder.exists() else "no such folder"
        raise EventFileError(root, problem)
    try:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == _SUFFIX)
    except OSError as error:
        raise EventFileError(root, f"cannot be listed: {error.strerror or error}") from error
    utterances = [utterance for path in files if (utterance := corpus.parse(path)) is not None]
    if not utterances:
        raise EventFileError(
            root,
            f"no files of {corpus.name} among its {len(files)} {_SUFFIX} files; "
            f"their names look like {corpus.example}",
        )
    names: dict[str, str] = {}
    for utterance in utterances:
        name = Path(utterance.path).name.lower()
        if name in names:
            raise EventFileError(utterance.path, f"is there twice, also as {names[name]}; keep one copy")
        names[name] = utterance.path
    order = {word: number for number, word in enumerate(corpus.words)}
    return sorted(utterances, key=lambda u: (order[u.word], u.speaker, Path(u.path).name))
