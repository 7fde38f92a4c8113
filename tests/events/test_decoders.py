"""Every decoder of bytes against its twin, cut at random places, with every policy."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events import EVENT_DTYPE
from eventsnn.events.formats import FORMATS, Options, find_format
from eventsnn.events.formats.columns import to_whole
from eventsnn.events.formats.validator import PACKED, EventValidator
from eventsnn.reference.decode_records import Judge
from tests.events.streams_of_bytes import CASES, HEIGHT, WIDTH, Case

SENSOR = (WIDTH, HEIGHT, 2)


def decode(case: Case, data: bytes, cuts: list[int], on_bad: str = "error") -> tuple[np.ndarray, Any, str]:
    """Events, anomalies and the first error of a decoder fed with pieces."""
    known = find_format("a file", case.format)
    decoder = known.decoder("a file", Options(SENSOR, on_bad))  # type: ignore[attr-defined]
    parts = [np.empty(0, EVENT_DTYPE)]
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    error = ""
    try:
        for first, last in pairwise(borders):
            parts.append(decoder.feed(data[first:last]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EventFileWarning)
            parts.append(decoder.finish())
    except EventFileError as caught:
        error = str(caught)
    return np.concatenate(parts), decoder.anomalies, error


WORDS = {"more": "", "outside": "outside the 40 x 30", "backwards": "runs backwards", "damaged": "byte"}


@pytest.mark.parametrize("case", CASES, ids=str)
@given(data=st.data())
def test_decodes_as_twin_however_it_is_cut(case: Case, data: st.DataObject) -> None:
    body = b"".join(data.draw(st.lists(case.record, max_size=12)))
    body = body[: len(body) - data.draw(st.sampled_from([0, 0, 0, 1, 3]))]
    on_bad = data.draw(st.sampled_from(["error", "skip", "clamp", "sort"]))
    cuts = data.draw(st.lists(st.integers(0, len(case.header) + len(body)), max_size=5))
    judge = Judge(WIDTH, HEIGHT, on_bad)
    expected = judge.run(case.twin(body, judge))
    whole = case.header + body
    if not whole:
        return
    events, anomalies, error = decode(case, whole, cuts, on_bad)
    assert (WORDS[judge.status] in error) if judge.status != "more" else (error == "")
    if error:
        # Parts before the error have been handed over, the one with it has not.
        np.testing.assert_array_equal(events, expected[: len(events)])
        return
    np.testing.assert_array_equal(events, expected)
    assert (anomalies.outside, anomalies.backwards) == (judge.outside, judge.backwards)
    assert anomalies.ignored == judge.ignored


@pytest.mark.parametrize("case", [case for case in CASES if case.size > 1], ids=str)
def test_a_cut_tail_loses_the_cut_record_and_says_so(case: Case) -> None:
    decoder = find_format("a.x", case.format).decoder("a.x", Options(SENSOR))  # type: ignore[attr-defined]
    decoder.feed(case.header + bytes(case.size - 1))
    with pytest.warns(
        EventFileWarning, match=f"byte {len(case.header)}: the last record is cut: {case.size - 1} of"
    ):
        assert len(decoder.finish()) == 0
    assert decoder.anomalies.cut_bytes == case.size - 1
    strict = find_format("a.x", case.format).decoder("a.x", Options(SENSOR, on_cut="error"))  # type: ignore[attr-defined]
    strict.feed(case.header + bytes(case.size - 1))
    with pytest.raises(EventFileError, match="is the file complete") as caught:
        strict.finish()
    assert caught.value.offset == len(case.header)


def test_every_decoder_has_a_case() -> None:
    fed = {known.name for known in FORMATS.values() if hasattr(known, "decoder")}
    assert fed - {"csv"} == {case.format for case in CASES}  # text is in test_formats.py


def test_errors_name_the_byte_after_any_number_of_blocks() -> None:
    case = next(case for case in CASES if case.format == "evt2")
    good = (8 << 28).to_bytes(4, "little") * 1000
    data = case.header + good + (5 << 28).to_bytes(4, "little")
    for cuts in ([], [7, 99], list(range(0, len(data), 13))):
        _, _, error = decode(case, data, cuts)
        assert (
            f"byte {len(case.header) + 4000}: no record of this format starts with the bytes 00 00 00 50"
            in error
        )


@pytest.mark.parametrize("on_bad", ["error", "skip", "clamp", "sort"])
@pytest.mark.parametrize("fault", ["none", "x", "y", "backwards", "backwards between parts", "late"])
def test_packed_records_are_checked_as_columns(fault: str, on_bad: str) -> None:
    """The kernel takes what is all good; anything else is told and treated as ever."""
    rng = np.random.default_rng(0)
    records = np.zeros(100, PACKED)
    records["t"] = np.sort(rng.integers(0, 1000, 100))
    records["x"], records["y"] = rng.integers(0, WIDTH, 100), rng.integers(0, HEIGHT, 100)
    records["on"] = rng.integers(0, 2, 100)
    if fault == "backwards":
        records["t"][70] = 0
    elif fault == "backwards between parts":
        records["t"][50:] -= records["t"][50]
    elif fault == "late":
        records["t"][99] = 2**62 + 1
    elif fault != "none":
        records[fault][30] = WIDTH + HEIGHT

    def admit(method: str) -> tuple[list[Any], str, Any]:
        validator = EventValidator("a file", Options(SENSOR, on_bad), None)
        parts, error = [], ""
        try:
            for part in (records[:50], records[:0], records[50:]):
                parts.append(
                    validator.admit_packed(part)
                    if method == "packed"
                    else validator.admit(to_whole("a file", "t", part["t"]), part["x"], part["y"], part["on"])
                )
        except EventFileError as found:
            error = str(found)
        return [part.tolist() for part in parts], error, validator.anomalies

    assert admit("packed") == admit("columns")
    outside = fault in ("x", "y") and on_bad in ("error", "sort")
    refused = outside or fault == "late" or (fault.startswith("backwards") and on_bad == "error")
    assert (admit("packed")[1] != "") == refused


@pytest.mark.parametrize("on_bad", ["error", "skip", "clamp", "sort"])
@pytest.mark.parametrize("fault", ["none", "x", "y", "late", "jump", "wrap"])
@pytest.mark.parametrize("at", [0, 1, 31, 32, 33, 63, 64, 99])
def test_dat_by_the_block_decodes_as_twin(fault: str, at: int, on_bad: str) -> None:
    """Good records are checked 32 at a time: a fault anywhere in a block is found."""
    rng = np.random.default_rng(at)
    t = np.sort(rng.integers(1000, 2**31, 100)).astype(np.uint32)
    x, y, p = (rng.integers(0, size, 100).astype(np.uint32) for size in (WIDTH, HEIGHT, 2))
    if fault == "x":
        x[at] = WIDTH
    elif fault == "y":
        y[at] = HEIGHT
    elif fault == "late":
        t[at] = 0
    elif fault == "jump":
        t[at:] += np.uint32(2**31)
    elif fault == "wrap":
        t += np.uint32(2**32 - 1 - t[at])
        t[:at] = np.sort(t[:at])
    words = np.stack([t, x | y << 14 | p << 28], axis=1).astype("<u4").tobytes()
    judge = Judge(WIDTH, HEIGHT, on_bad)
    case = next(case for case in CASES if case.format == "dat")
    expected = judge.run(case.twin(words, judge))
    events, anomalies, error = decode(case, case.header + words, [400], on_bad)
    assert (WORDS[judge.status] in error) if judge.status != "more" else (error == "")
    np.testing.assert_array_equal(events, expected[: len(events)] if error else expected)
    assert (anomalies.outside, anomalies.backwards) == (judge.outside, judge.backwards)
