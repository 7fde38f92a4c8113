"""The emulated device: what it computes, and which faults it reports."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn.errors import DeviceMemoryError
from eventsnn.gpu.device import name_types, pack, shared_bytes
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.gpu.sources import list_kernels
from eventsnn.reference.decay import decay
from tests.gpu.emulation import needs_emulation

pytestmark = needs_emulation


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"])
def device(request: pytest.FixtureRequest) -> EmulatedDevice:
    return EmulatedDevice(backwards=request.param)


@pytest.mark.parametrize(("name", "dtype"), [("int", np.int32), ("double", np.float64)])
def test_blocks_meet_at_barriers_and_lanes_at_shuffles(
    device: EmulatedDevice, name: str, dtype: type
) -> None:
    x = np.arange(1000, dtype=dtype)
    out = device.empty(4, dtype)
    device.launch(f"sum_blocks<{name}>", 4, 256, device.put(x), out, shared=shared_bytes((dtype, 32)))
    assert out.read().tolist() == [x[start : start + 256].sum() for start in range(0, 1000, 256)]


def test_copies_arrive_when_they_are_waited_for(device: EmulatedDevice) -> None:
    x = np.arange(150, dtype=np.int32)
    out = device.empty(150, np.int32)
    device.launch("copy_ahead", 1, 64, device.put(x), out, shared=shared_bytes((np.int32, 128)))
    assert out.read().tolist() == x.tolist()


def test_decays_have_the_bits_of_the_twin(device: EmulatedDevice) -> None:
    x = np.concatenate([np.random.default_rng(1).uniform(0, 20, 500), [0.0, 0.34, 699.9, 700.0, 1e9]])
    e, rise = device.empty(len(x), np.float64), device.empty(len(x), np.float64)
    device.launch("decays", -(-len(x) // 64), 64, device.put(x), e, rise)
    expected = np.array([decay(each) for each in x.tolist()])
    np.testing.assert_array_equal(e.read(), expected[:, 0])
    np.testing.assert_array_equal(rise.read(), expected[:, 1])


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (0, "lanes of a warp do not meet at one vote or shuffle: thread 0 of block"),
        (1, "a barrier that not all threads reach: thread 0 of block"),
        (2, "index 3 of an array of 3, thread"),
        (3, "index 4000 of an array of"),
        (4, "a copy to where another is under way, thread 0 of block"),
        (5, "a copy of 8 bytes that are not aligned, thread 0 of block"),
    ],
)
def test_a_broken_rule_is_an_error(fault: int, text: str) -> None:
    device = EmulatedDevice()
    with pytest.raises(RuntimeError, match=f"break_rule: {text}"):
        device.launch("break_rule", 1, 64, np.int32(fault), device.zeros(3, np.int32), shared=64)
    # The next launch is whole again.
    out = device.empty(1, np.int32)
    device.launch("sum_blocks<int>", 1, 32, device.put(np.ones(5, np.int32)), out, shared=128)
    assert out.read().tolist() == [5]


def test_arguments_and_launches_are_checked() -> None:
    device = EmulatedDevice()
    array = device.zeros(3, np.float64)
    with pytest.raises(RuntimeError, match=r"sum_blocks<int> takes \*i4, \*i4, got \*f8, \*f8"):
        device.launch("sum_blocks<int>", 1, 32, array, array, shared=128)
    with pytest.raises(RuntimeError, match="no kernel missing"):
        device.launch("missing", 1, 32)
    with pytest.raises(RuntimeError, match="a block of 33 threads"):
        device.launch("sum_blocks<double>", 1, 33, array, array, shared=256)
    with pytest.raises(RuntimeError, match="a grid of 1 x 65536 blocks"):
        device.launch("sum_blocks<double>", (1, 65536), 32, array, array, shared=256)
    with pytest.raises(TypeError, match=r"not 1\.5"):
        device.launch("decays", 1, 32, 1.5)  # type: ignore[arg-type]


def test_arguments_are_aligned() -> None:
    arguments = np.int32(1), np.float64(2.0), np.float32(3.0), 4
    codes, packed = name_types(arguments), pack(arguments)
    assert codes == "i4, f8, f4, i8"
    assert len(packed) == 32
    assert np.frombuffer(packed[8:16], np.float64)[0] == 2.0
    assert np.frombuffer(packed[24:], np.int64)[0] == 4


def test_memory_runs_out_and_comes_back() -> None:
    device = EmulatedDevice(memory=1000)
    first = device.empty(100, np.float64)
    with pytest.raises(DeviceMemoryError, match="use smaller batches"):
        device.empty((50, 5), np.float32)
    del first
    assert device.free_memory() == 1000
    assert device.empty((50, 5), np.float32).nbytes == 1000


def test_parts_of_arrays_share_memory() -> None:
    device = EmulatedDevice()
    array = device.put(np.arange(12).reshape(4, 3))
    array[1:3].write(np.zeros((2, 3)))
    assert array.read()[:, 0].tolist() == [0, 0, 0, 9]
    assert array[1:3].shape == (2, 3)
    assert array.view(np.int32).shape == (24,)
    assert array[3:2].shape == (0, 3)
    array[2:].clear()
    assert array.reshape(12).read().tolist() == [0, 1, 2] + [0] * 9
    copy = device.zeros((4, 3), np.int64)
    device.copy(copy, array)
    assert (copy.read() == array.read()).all()


def test_both_compilers_know_the_same_kernels() -> None:
    from eventsnn._ext.gpu_emulation import kernel_codes

    assert set(kernel_codes()) == {*list_kernels(), "break_rule"}
