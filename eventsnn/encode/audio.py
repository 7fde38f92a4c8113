"""Sound files: RIFF ``.wav``, and NIST SPHERE, which older speech corpora also call ``.wav``."""

from __future__ import annotations

import io
import os
import wave
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import read_bytes

_SPHERE = b"NIST_1A\n"
_SPHERE_HEAD = 16  # the magic, and a line with the length of the header
_BYTE_ORDERS = {"01": "<", "10": ">"}


class Sound(NamedTuple):
    """One channel of sound.

    Attributes
    ----------
    samples : ndarray of float64, shape (n,)
        Full scale is -1 .. 1.
    rate : int
        Samples per second.
    """

    samples: npt.NDArray[np.float64]
    rate: int


def read_sound(path: str | os.PathLike[str]) -> Sound:
    """Read a sound file of one channel.

    Parameters
    ----------
    path : path
        RIFF with PCM of 8, 16, 24 or 32 bits, or NIST SPHERE with uncompressed PCM of 16 bits; told apart by
        their first bytes.

    Returns
    -------
    Sound

    Raises
    ------
    EventFileError
        The file cannot be read, is neither of the two, is cut, compressed, or has several channels.
    """
    data = read_bytes(path)
    if data.startswith(_SPHERE):
        return _read_sphere(path, data)
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate, n = file.getparams()[:4]
            samples = file.readframes(n)
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: a chunk longer than its parent
        raise EventFileError(
            path, f"no sound that can be read here ({str(error) or 'cut'}); convert it to 16-bit PCM .wav"
        ) from None
    _check_channels(path, channels)
    if rate < 1 or not 1 <= width <= 4:
        raise EventFileError(
            path, f"{rate} samples a second of {8 * width} bits; convert it to 16-bit PCM .wav"
        )
    if len(samples) != n * width:
        raise EventFileError(path, f"is cut: {n} samples announced, {len(samples) // width} there")
    return Sound(_from_pcm(samples, width), rate)


def _from_pcm(data: bytes, width: int) -> npt.NDArray[np.float64]:
    """Little-endian PCM to -1 .. 1; bytes are unsigned, wider samples signed."""
    if width == 1:
        return np.frombuffer(data, np.uint8) / 128.0 - 1.0
    if width == 3:
        # As the upper three bytes of 32 bits.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0] / 2.0**31
    return np.frombuffer(data, f"<i{width}").astype(np.float64) / 2.0 ** (8 * width - 1)


def _read_sphere(path: str | os.PathLike[str], data: bytes) -> Sound:
    """NIST SPHERE: text lines ``name -type value``, padded to the length in the second line, then samples."""
    try:
        length = int(data[len(_SPHERE) : _SPHERE_HEAD])
        lines = data[_SPHERE_HEAD:length].decode("ascii").split("end_head")[0].splitlines()
        fields = {line.split()[0]: line.split(maxsplit=2)[2] for line in lines if line.strip()}
        n, rate = int(fields["sample_count"]), int(fields["sample_rate"])
        channels, width = int(fields.get("channel_count", 1)), int(fields["sample_n_bytes"])
        order = _BYTE_ORDERS.get(fields.get("sample_byte_format", "01"))
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise EventFileError(path, f"the SPHERE header is damaged ({error})", offset=0) from None
    coding = fields.get("sample_coding", "pcm").strip()
    if coding != "pcm" or width != 2 or order is None:
        raise EventFileError(
            path,
            f"SPHERE samples of {width} bytes, coding {coding!r}: only uncompressed 16-bit PCM is read; "
            "convert it (sph2pipe -f wav, sox)",
        )
    _check_channels(path, channels)
    if n < 0 or rate < 1 or len(data) < length + 2 * n:
        there = max(len(data) - length, 0) // 2
        raise EventFileError(
            path, f"is cut: {n} samples at {rate} Hz announced, {there} there", offset=length
        )
    return Sound(np.frombuffer(data, f"{order}i2", count=n, offset=length) / 2.0**15, rate)


def _check_channels(path: str | os.PathLike[str], channels: int) -> None:
    if channels != 1:
        raise EventFileError(path, f"has {channels} channels; mix them down to one")
