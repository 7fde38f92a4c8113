"""The network of recurrent.py in Brian2's C++ standalone mode, on its 0.1 ms grid; it starts this."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import brian2 as b2
import numpy as np


def main() -> None:
    """Build, run, and print the seconds of the run alone, one thread."""
    job = json.loads(sys.argv[1])
    s, folder = job["setting"], Path(job["folder"])
    b2.set_device("cpp_standalone", directory=str(folder / "build"), build_on_run=False)
    b2.defaultclock.dt = 0.1 * b2.ms
    b2.seed(job["seed"])
    names = {name: s[name] * b2.ms for name in ("tau_m", "tau_s", "refractory")}
    names |= {"resting": s["resting"], "threshold": s["threshold"]}
    group = b2.NeuronGroup(
        s["neurons"],
        "dv/dt = (resting - v)/tau_m + current/tau_s : 1 (unless refractory)\n"
        "dcurrent/dt = -current/tau_s : 1",
        threshold="v > threshold",
        reset="v = 0",
        refractory=names["refractory"],
        method="exact",
        namespace=names,
    )
    synapses = b2.Synapses(group, group, "w : 1", on_pre="current_post += w", delay=s["delay"] * b2.ms)
    with np.load(folder / "weights.npz") as weights:
        synapses.connect(i=weights["pre"], j=weights["post"])
        synapses.w = weights["values"]
    drive = b2.PoissonInput(group, "current", 1, s["input_rate_khz"] * b2.kHz, s["input_weight"])
    monitor = b2.SpikeMonitor(group)
    network = b2.Network(group, synapses, drive, monitor)
    network.run(job["duration"] * b2.ms)
    build = str(folder / "build")
    b2.device.build(directory=build, compile=True, run=False, debug=False)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    b2.device.run(build, with_output=False)
    # On a busy machine the loop's wall clock says too much; so does the program's CPU time, in which it also
    # reads the synapses. The smaller one is fair.
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    seconds = min(cpu, b2.device._last_run_time)
    print(json.dumps({"seconds": seconds, "spikes": int(monitor.num_spikes)}))


if __name__ == "__main__":
    main()
