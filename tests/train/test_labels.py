"""Classes of data sets are matched with a network's by name."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import Folder, Images, ListDataset, Packed, from_tonic, pack
from eventsnn.errors import EventFileWarning, TrainingError
from eventsnn.train.labels import match_source, name_outputs

SENSOR = (9, 1, 1)


def stream(place, n=12):
    """Events in one third of a line of 9 pixels."""
    return es.EventStream.from_arrays(np.arange(n) * 500, 3 * place + np.arange(n) % 3, sensor_size=SENSOR)


def network(classes=None, outputs=3):
    """Output k fires for events in third k, and for no others."""
    weights = np.zeros((outputs, 9), np.float32)
    for k in range(min(outputs, 3)):
        weights[k, 3 * k : 3 * k + 3] = 4.0
    return es.Network(
        es.Input(9), es.Dense(outputs, threshold=3.0), weights={"output": weights}, classes=classes
    )


def write_folder(root, classes, n=2):
    """`classes`: third of the line, by folder."""
    for name, place in classes.items():
        for k in range(n):
            path = root / name / f"{k}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            es.write(path, stream(place))
    return root


def sample(classes, *labels):
    return ListDataset([stream(0)] * len(labels), labels, classes=classes)


@pytest.mark.parametrize(
    ("known", "names"),
    [
        (("ant", "bee", "cat"), ("cat", "ant")),  # another order, fewer
        (("ant", "bee", "cat"), ("CAT", "Bee")),
        (("0", "1", "2"), ("02", "1")),
        (("a", "A", "b"), ("A", "a")),  # exact names go first
        (("K\u00e4fer", "Ant"), ("ant", "Ka\u0308fer")),  # composed otherwise, as macOS does
        (("2", "10", "x"), ("10", "2")),
    ],
)
def test_names_are_matched(known, names):
    source = match_source(network(known), sample(names, *range(len(names))), "the data set")
    fold = {"02": "2", "CAT": "cat", "Bee": "bee", "ant": "Ant", "Ka\u0308fer": "K\u00e4fer"}
    expected = [known.index(name if name in known else fold[name]) for name in names]
    assert source.labels.tolist() == expected
    assert source.classes == known
    assert [label for _, label in source] == expected


def test_labels_may_be_names():
    data = ListDataset([stream(0)] * 3, ["cat", "ant", "cat"])
    assert (data.classes, data.labels.tolist(), data.numbered) == (("ant", "cat"), [1, 0, 1], False)
    data = ListDataset([stream(0)] * 2, np.array(["cat", "ant"]), classes=["cat", "bee", "ant"])
    assert (data.classes, data.labels.tolist()) == (("cat", "bee", "ant"), [0, 2])
    with pytest.raises(TrainingError, match="label 'dog' of sample 1 is not among the classes 'cat'"):
        ListDataset([stream(0)] * 2, ["cat", "dog"], classes=["cat"])


def test_nothing_changes_where_the_order_is_the_same():
    data = sample(("ant", "bee", "cat"), 1, 0)
    assert match_source(network(("ant", "bee")), data, "it") is data


def test_unknown_classes_are_refused_where_they_have_recordings():
    with pytest.raises(
        TrainingError, match="the data set: class 'dog' not among the network's: 'ant', 'bee'"
    ):
        match_source(network(("ant", "bee")), sample(("ant", "dog"), 0, 1), "the data set")
    assert match_source(network(("ant", "bee")), sample(("ant", "dog"), 0), "it").labels.tolist() == [0]
    with pytest.raises(TrainingError, match="'ant' and 'Ant' are both the network's class 'ant'"):
        match_source(network(("ant", "bee")), sample(("ant", "Ant"), 0, 1), "it")
    with pytest.raises(TrainingError, match="class 'Ab' not among"):  # may be the one or the other
        match_source(network(("ab", "AB")), sample(("Ab",), 0), "it")


def test_numbers_without_names_are_output_neurons():
    assert match_source(network(("ant", "bee", "cat")), sample(None, 2, 0), "it").labels.tolist() == [2, 0]
    with pytest.raises(TrainingError, match="class '2' not among the network's: 'ant', 'bee'"):
        match_source(network(("ant", "bee")), sample(None, 2, 0), "it")
    # Names that are numbers, but not those of the neurons, are names.
    assert match_source(network(("1", "2", "3")), sample(None, 2, 1), "it").labels.tolist() == [1, 0]
    # A folder called "1" has a name.
    with pytest.raises(TrainingError, match="class '0' not among the network's: 'ant'"):
        match_source(network(("ant",)), sample(("0", "1"), 0), "it")


def test_a_network_without_names_takes_the_order_and_says_so(tmp_path):
    data = Folder(write_folder(tmp_path, {"bee": 1, "cat": 2}))
    with pytest.warns(
        EventFileWarning, match="no class names; its classes 'bee', 'cat' are taken for output"
    ):
        assert match_source(network(), data, "the data set") is data


@pytest.mark.filterwarnings("error")
def test_no_warning_where_names_are_numbers():
    match_source(network(), sample(("0", "1", "2"), 0, 2), "it")


def test_training_names_the_outputs():
    assert name_outputs(network(), sample(("ant", "bee"), 0, 1)).classes == ("ant", "bee")
    assert name_outputs(network(outputs=5), sample(None, 0, 1)).classes == ("0", "1", "2", "3", "4")
    assert name_outputs(network(("x", "y")), sample(("ant", "bee"), 0, 1)).classes == ("x", "y")
    assert name_outputs(network(outputs=2), sample(("ant", "bee", "cat"), 0, 1)).classes == ("ant", "bee")
    with pytest.raises(TrainingError, match="the training set: classes: 'ant' and 'ant' are the same name"):
        name_outputs(network(), sample(("ant", "ant"), 0, 1))


def test_folders_from_1_to_n_fit_n_outputs(tmp_path):
    data = Folder(write_folder(tmp_path, {"01": 0, "2": 1, "03": 2}))
    named = name_outputs(network(), data)
    assert named.classes == ("1", "2", "3")
    assert match_source(named, data, "it").labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_part_of_the_classes_is_evaluated_by_name(tmp_path):
    write_folder(tmp_path / "Train", {"ant": 0, "bee": 1, "cat": 2}, n=6)
    write_folder(tmp_path / "Test", {"bee": 1, "cat": 2})
    (tmp_path / "Test" / "__MACOSX").mkdir()
    fit = es.train(network(), Folder(tmp_path / "Train"), epochs=1, out=tmp_path / "run", threads=1)
    assert fit.network.classes == ("ant", "bee", "cat")
    kept = es.Network.load(tmp_path / "run" / "model.h5")
    assert kept.classes == ("ant", "bee", "cat")
    model = network(kept.classes)
    with pytest.warns(EventFileWarning, match="left out the folder '__MACOSX': no class"):
        test = Folder(tmp_path / "Test")
    found = es.evaluate(model, test)
    assert (found.n, found.accuracy, found.classes) == (4, 1.0, ("ant", "bee", "cat"))
    assert found.confusion == [[0, 0, 0], [0, 2, 0], [0, 0, 2]]
    # The same recordings packed, in a list, and as tonic's targets.
    pack(test, tmp_path / "test.esp")
    assert es.evaluate(model, Packed(tmp_path / "test.esp")).accuracy == 1.0
    streams = [test.stream(k) for k in range(4)]
    assert es.evaluate(model, ListDataset(streams, [0, 0, 1, 1], classes=["bee", "cat"])).accuracy == 1.0
    targets = [(s.events, name) for s, name in zip(streams, ("bee", "bee", "cat", "cat"), strict=True)]
    assert es.evaluate(model, targets).accuracy == 1.0
    assert (
        es.evaluate(model, [(s.events, k) for s, k in zip(streams, (1, 1, 2, 2), strict=True)]).accuracy == 1
    )
    # A validation set with fewer classes, in another order.
    fit = es.train(
        network(), Folder(tmp_path / "Train"), valid=test, epochs=1, out=tmp_path / "run2", threads=1
    )
    assert fit.valid_accuracy == es.evaluate(fit.network, test).accuracy


def test_going_on_with_other_classes(tmp_path):
    write_folder(tmp_path / "a", {"ant": 0, "bee": 1}, n=6)
    first = es.train(network(), Folder(tmp_path / "a"), epochs=1, out=tmp_path / "run", threads=1)
    write_folder(tmp_path / "b", {"dog": 0, "bee": 1}, n=6)
    with pytest.raises(TrainingError, match="the training set: class 'dog' not among the network's"):
        es.train(first.network, Folder(tmp_path / "b"), epochs=1, out=tmp_path / "other", threads=1)
    assert not (tmp_path / "other").exists()
    renamed = first.network.with_classes(["dog", "bee"])
    fit = es.train(renamed, Folder(tmp_path / "b"), epochs=1, out=tmp_path / "other", threads=1)
    assert fit.network.classes == ("dog", "bee")
    write_folder(tmp_path / "a", {"cow": 2})
    with pytest.raises(TrainingError, match=r"cannot resume, network\.classes"):
        es.train(network(), Folder(tmp_path / "a"), epochs=2, out=tmp_path / "run", resume=True, threads=1)


class Tonic:
    """As tonic's data sets are."""

    def __init__(self, classes, targets):
        self.classes, self.targets, self.sensor_size = classes, targets, SENSOR

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return stream(0).events, self.targets[index]


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (["0 - zero", "1 - one"], ("0", "1")),
        (["left", "right"], ("left", "right")),
        ({"right": 1, "left": 0}, ("left", "right")),
        (np.array([b"left", b"right"]), ("left", "right")),
        (["left"], ("0", "1")),  # not a name for each
        (["left", "left"], ("0", "1")),
        (None, ("0", "1")),
    ],
)
def test_tonic_lists_its_classes(classes, names):
    source = from_tonic(Tonic(classes, [1, 0]))
    assert source.classes == names
    assert source.numbered == (names == ("0", "1") and classes != ["0 - zero", "1 - one"])


def test_images_may_have_names():
    pixels = np.zeros((2, 3, 3), np.uint8)
    assert Images(pixels, [0, 1], classes=["shirt", "shoe"]).classes == ("shirt", "shoe")
    assert Images(pixels, [0, 1]).numbered
    with pytest.raises(TrainingError, match="1 class name, but a label is 1"):
        Images(pixels, [0, 1], classes=["shirt"])
