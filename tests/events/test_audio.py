"""Sound files: what was written is read, what is damaged is refused by name."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.encode import read_sound
from eventsnn.errors import EventFileError


def write_wav(path: Path, samples: bytes, *, rate: int = 8000, width: int = 2, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(samples)
    return path


def make_sphere(samples: np.ndarray, *, order: str = "01", rate: int = 12500, more: str = "") -> bytes:
    """A SPHERE file with the header of TI46's: 1024 bytes."""
    head = (
        "NIST_1A\n   1024\n"
        f"sample_rate -i {rate}\nsample_count -i {len(samples)}\nsample_n_bytes -i 2\nchannel_count -i 1\n"
        f"sample_byte_format -s2 {order}\n{more}end_head\n"
    )
    return head.encode().ljust(1024) + samples.astype("<i2" if order == "01" else ">i2").tobytes()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width(tmp_path: Path, width: int) -> None:
    # Full scale, its negative and the middle, as each width has them.
    full = 2 ** (8 * width - 1)
    values = [-full, 0, full // 2, full - 1]
    if width == 1:
        data = bytes(value + 128 for value in values)
    else:
        data = b"".join(value.to_bytes(width, "little", signed=True) for value in values)
    sound = read_sound(write_wav(tmp_path / "a.wav", data, width=width, rate=12500))
    assert sound.rate == 12500
    assert sound.samples.tolist() == [-1.0, 0.0, 0.5, 1.0 - 1.0 / full]


@pytest.mark.parametrize("order", ["01", "10"])
def test_sphere(tmp_path: Path, order: str) -> None:
    samples = np.array([-32768, 0, 16384, 1, 32767])
    path = tmp_path / "00f1set0.wav"
    path.write_bytes(make_sphere(samples, order=order))
    sound = read_sound(path)
    assert sound.rate == 12500
    np.testing.assert_array_equal(sound.samples, samples / 32768)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "convert"),
        (b"RIFF\x00\x00\x00\x00AVI ", "convert"),
        (b"NIST_1A\n", "header is damaged"),
        (make_sphere(np.zeros(5))[:900].replace(b"sample_rate", b"sample_rat_"), "header is damaged"),
        (make_sphere(np.zeros(5))[:-2], "5 samples at 12500 Hz announced, 4 there"),
        (
            make_sphere(np.zeros(5), more="sample_coding -s26 pcm,embedded-shorten-v1.09\n"),
            "shorten.*sph2pipe",
        ),
        (make_sphere(np.zeros(5)).replace(b"channel_count -i 1", b"channel_count -i 2"), "2 channels"),
        (make_sphere(np.zeros(5), rate=0), "0 Hz"),
    ],
)
def test_damaged_files(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(data)
    with pytest.raises(EventFileError, match=text) as raised:
        read_sound(path)
    assert str(path) in str(raised.value)


def test_other_bad_files(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match="2 channels"):
        read_sound(write_wav(tmp_path / "stereo.wav", bytes(8), channels=2))
    with pytest.raises(EventFileError, match="no such file"):
        read_sound(tmp_path / "none.wav")
    whole = write_wav(tmp_path / "cut.wav", bytes(200)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:-50])
    with pytest.raises(EventFileError, match="is cut: 100 samples announced, 75 there"):
        read_sound(tmp_path / "cut.wav")


@given(st.data())
def test_no_bytes_make_it_crash(tmp_path_factory, data) -> None:
    wav = write_wav(tmp_path_factory.getbasetemp() / "seed.wav", bytes(range(64))).read_bytes()
    seed = data.draw(st.sampled_from([wav, make_sphere(np.arange(20))]))
    broken = bytearray(seed[: data.draw(st.integers(0, len(seed)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "broken.wav"
    path.write_bytes(broken)
    try:
        sound = read_sound(path)
    except EventFileError:
        return
    assert np.isfinite(sound.samples).all()
