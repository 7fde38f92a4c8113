"""Several event streams in one file: listed, chosen by name or number, never mixed."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import eventsnn as es
from eventsnn.errors import EventFileError
from eventsnn.events.formats.streams import StreamChoiceError, StreamInfo, choose_stream
from tests.events.helpers import random_stream
from tests.events.several import write_aedat4, write_bag

LEFT, RIGHT = (random_stream(400, seed, (64, 48, 2)) for seed in (1, 2))
DVS, DV = "dvs_msgs/msg/EventArray", "dv_ros_msgs/msg/EventArray"


def two_cameras(path: Path) -> None:
    write_aedat4(path, {0: ("EVTS", "DVX_1", LEFT), 1: ("FRME", "DVX_1", None), 3: ("EVTS", "DVX_2", RIGHT)})


def two_topics(path: Path) -> None:
    pytest.importorskip("rosbags.rosbag1")
    write_bag(path, {"/right/events": (DV, RIGHT), "/left/events": (DVS, LEFT)})


FILES = [
    pytest.param((two_cameras, "a.aedat4", (0, "DVX_1"), (3, "DVX_2")), id="aedat4"),
    pytest.param((two_topics, "a.bag", (0, "/left/events"), (1, "/right/events")), id="rosbag"),
]


@dataclass(frozen=True)
class Several:
    """A file of two streams: number and name of each."""

    path: Path
    left: tuple[int, str]
    right: tuple[int, str]


@pytest.fixture(params=FILES)
def several(request: pytest.FixtureRequest, tmp_path: Path) -> Several:
    make, name, left, right = request.param
    make(tmp_path / name)
    return Several(tmp_path / name, left, right)


def test_a_stream_is_chosen_by_number_or_name(several: Several) -> None:
    path, left, right = several.path, several.left, several.right
    for choices, stream in ((left, LEFT), (right, RIGHT)):
        for choice in (*choices, str(choices[0])):
            assert es.read(path, stream=choice) == stream
    with es.open_events(path, stream=right[1]) as recording:
        assert [(known.number, known.name) for known in recording.streams] == [left, right]
        assert recording.stream is not None
        assert recording.stream.number == right[0]
        assert sum(map(len, recording)) == len(RIGHT)


def test_without_a_choice_all_are_listed(several: Several) -> None:
    path, left, right = several.path, several.left, several.right
    for choice, text in ((None, "choose one with stream=0 (--stream 0)"), ("up", "holds no stream 'up'")):
        with pytest.raises(StreamChoiceError, match=str(left[1])) as caught:
            es.read(path, stream=choice)
        assert str(right[1]) in str(caught.value)
        assert text in str(caught.value)
        assert [known.number for known in caught.value.streams] == [left[0], right[0]]


def test_one_stream_needs_no_choice(tmp_path: Path) -> None:
    pytest.importorskip("rosbags.rosbag1")
    write_bag(tmp_path / "a.bag", {"/events": (DV, LEFT), "/other": ("std_msgs/msg/String", RIGHT)})
    assert es.read(tmp_path / "a.bag") == LEFT
    write_bag(tmp_path / "b.bag", {"/other": ("std_msgs/msg/String", RIGHT)})
    with pytest.raises(EventFileError, match=r"holds no topic of .*; it has std_msgs/msg/String"):
        es.read(tmp_path / "b.bag")


def test_aedat4_of_frames_only(tmp_path: Path) -> None:
    write_aedat4(tmp_path / "a.aedat4", {0: ("FRME", "DAVIS", None)})
    for options in ({}, {"sensor": (64, 48, 2)}):
        with pytest.raises(EventFileError, match="holds no event stream, only frame"):
            es.read(tmp_path / "a.aedat4", **options)


def test_names_that_are_ambiguous_or_numbers() -> None:
    same = (StreamInfo(0, "cam"), StreamInfo(1, "cam"))
    with pytest.raises(StreamChoiceError, match=r"several .* are called 'cam'.*choose by number"):
        choose_stream("a", same, "cam")
    assert choose_stream("a", same, 1) is same[1]
    named = (StreamInfo(0, "1"), StreamInfo(1, "0"))
    assert choose_stream("a", named, "1") is named[0], "a name goes before a number"
    for wrong in (2, -1, True, "-1", ""):
        with pytest.raises(StreamChoiceError, match="holds no stream"):
            choose_stream("a", same, wrong)


def test_two_streams_of_one_camera_go_by_their_outputs(tmp_path: Path) -> None:
    """dv-processing writes any number of streams of a camera, each with a name of its own."""
    path = tmp_path / "a.aedat4"
    write_aedat4(path, {0: ("EVTS", "DVX_1", LEFT), 1: ("EVTS", "DVX_1", RIGHT)}, output="out")
    with pytest.raises(EventFileError, match=r"0 DVX_1/out0 \(64 x 48\); 1 DVX_1/out1"):
        es.read(path)
    assert es.read(path, stream="DVX_1/out1") == es.read(path, stream="out1") == RIGHT
