"""Steps of optimisers on a device: the CPU's bits, given the same gradient."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn._util.ranks import ALONE
from eventsnn._util.threads import call
from eventsnn.gpu.batch import DeviceLayer
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.gpu.weights import DeviceWeights
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import LIF
from eventsnn.reference.lif import record
from eventsnn.simulate.engines.blocks import aligned_zeros, pack, unpack
from eventsnn.train.device import DeviceState
from tests.gpu.emulation import needs_emulation

pytestmark = needs_emulation

NEURONS, INPUTS = 40, 150  # two warps, three pieces of rows
UNITS = 2.0**20

OPTIMISERS = {
    "adam": Optimiser(),
    "other constants": Optimiser(beta1=0.0, beta2=0.9, epsilon=1e-3),
    "adamw": Optimiser("adamw", options={"weight_decay": 0.05}),
    "sgd": Optimiser("sgd"),
    "nesterov": Optimiser("nesterov", momentum=0.5),
}


def make_states(optimiser, real, device):
    """The same weights for the CPU and for a device."""
    weights = np.random.default_rng(1).normal(size=(NEURONS, INPUTS)).astype(real)
    blocks = [aligned_zeros((2, INPUTS, 32), real) for _ in range(2)]
    for each in blocks:
        pack(weights, each)
    layer = DeviceLayer.put(device, "layer", record(LIF()), weights, None, [0.0])
    there = DeviceWeights(device, layer, optimiser.method.moments)
    return OptimiserState(optimiser, blocks[0]), DeviceState(optimiser, blocks[1], INPUTS, there)


def give(here, there, gradient):
    """The same gradient to both: whole numbers of 1/UNITS that both hold exactly."""
    pack(gradient / UNITS, here.gradient)
    whole = np.zeros(there.on_device.gradient.shape, np.int64)
    whole[:, :NEURONS] = gradient.T
    there.on_device.gradient.write(whole)
    there.on_device.units.units.write(np.full(64, UNITS))


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_steps_have_the_bits_of_the_cpu(name, real):
    device = EmulatedDevice(backwards=name == "sgd")
    here, there = make_states(OPTIMISERS[name], real, device)
    decay = np.random.default_rng(2).uniform(0, 0.1, (2, 32)).astype(real)
    decay.reshape(-1)[NEURONS:] = 0
    for number in range(1, 4):
        gradient = np.random.default_rng(number).integers(-(2**22), 2**22, (NEURONS, INPUTS))
        for state in (here, there):
            give(here, there, gradient)
            state.update(0.3, decay, 0.01, number).run(call)
    there.complete(ALONE)
    for a, b in zip((here.weights, *here.moments), (there.weights, *there.moments), strict=True):
        assert a.tobytes() == b.tobytes()
    np.testing.assert_allclose(there.row_sum, here.row_sum, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(there.row_square, here.row_square, rtol=1e-14)
    # The CPU sums the squares of the gradient in the precision of the weights.
    np.testing.assert_allclose(
        there.gradient_norm, here.gradient_norm, rtol=1e-14 if real is np.float64 else 1e-6
    )


def test_what_is_loaded_comes_back():
    there = make_states(Optimiser(), np.float32, EmulatedDevice())[1]
    rng = np.random.default_rng(3)
    arrays = [there.weights, *there.moments, there.row_sum, there.row_square]
    saved = [rng.normal(size=array.shape).astype(array.dtype) for array in arrays]
    for array, values in zip(arrays, saved, strict=True):
        array[...] = values
    there.loaded()
    for array in arrays:
        array[...] = 0
    there.complete(ALONE)
    for array, values in zip(arrays, saved, strict=True):
        np.testing.assert_array_equal(array, values)
    on_device = there.on_device.weights.read()
    np.testing.assert_array_equal(on_device[:, :NEURONS].T, unpack(saved[0], NEURONS))
