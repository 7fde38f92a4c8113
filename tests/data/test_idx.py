from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from eventsnn.data import load_idx, read_idx
from eventsnn.errors import EventFileError, TrainingError
from tests.events.helpers import check_refused
from tests.real_data import real_data


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([7, 1], np.uint8)


def test_images_and_labels_plain_and_gzipped(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(LABELS)))
    (tmp_path / "emnist-letters-test-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES[:1]))
    (tmp_path / "emnist-letters-test-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:1]))
    images, labels = load_idx(tmp_path, "train")
    np.testing.assert_array_equal(images, IMAGES)
    assert labels.tolist() == [7, 1]
    assert labels.dtype == np.int64
    # EMNIST's images are stored transposed; they are put upright unless that is turned off.
    np.testing.assert_array_equal(load_idx(tmp_path, "test")[0], IMAGES[:1].transpose(0, 2, 1))
    np.testing.assert_array_equal(load_idx(tmp_path, "test", transpose=False)[0], IMAGES[:1])
    np.testing.assert_array_equal(load_idx(tmp_path, "train", transpose=True)[0], IMAGES.transpose(0, 2, 1))
    # The same file gzipped as well is no contradiction; another data set's is.
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(load_idx(tmp_path, "train")[0], IMAGES)
    (tmp_path / "fashion-train-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES))
    with pytest.raises(EventFileError, match="several files of train images: fashion-train-images"):
        load_idx(tmp_path, "train")


@pytest.mark.parametrize(
    ("data", "offset", "text"),
    [
        (b"", 0, "no IDX file: it starts with b''"),
        (b"PNG!", 0, "no IDX file: it starts with b'PNG!', expected two zero bytes"),
        (b"\0\0\x0d\1\0\0\0\0", 2, r"IDX type 0x0d; only bytes \(0x08\) are read"),
        (b"\0\0\x08\3\0\0\0\1", 3, "the IDX header is cut: 3 dimensions announced"),
        (idx_bytes(IMAGES)[:-1], 16, r"shape \(2, 3, 4\) needs 24 bytes, the file has 23"),
        (idx_bytes(IMAGES) + b"\0", 16, "needs 24 bytes, the file has 25"),
        (gzip.compress(idx_bytes(IMAGES))[:-12], None, "the gzip file is damaged or cut"),
        (b"\x1f\x8b junk that is no gzip", None, "the gzip file is damaged or cut"),
    ],
)
def test_damaged_files(tmp_path, data, offset, text):
    check_refused(read_idx, tmp_path / "a.idx", data, text, offset)


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(TrainingError, match="split must be one of train, test, got 'valid'"):
        load_idx(tmp_path, "valid")
    with pytest.raises(EventFileError, match="no file whose name contains t10k-images or test-images"):
        load_idx(tmp_path, "test")
    with pytest.raises(EventFileError, match="cannot be listed: No such file"):
        load_idx(tmp_path / "none", "test")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
    with pytest.raises(EventFileError, match=r"t10k-labels-idx1-ubyte: labels of shape \(3,\) for 2 images"):
        load_idx(tmp_path, "test")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(LABELS))
    with pytest.raises(EventFileError, match=r"images have three dimensions; the file has shape \(2,\)"):
        load_idx(tmp_path, "test")


def test_mnist():
    images, labels = load_idx(real_data("mnist"), "test")
    assert images.shape == (10_000, 28, 28)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
