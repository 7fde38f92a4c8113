"""What the neuron's kernels know, for the tests that their twin knows the same."""

CANDIDATE, TOUCH = LIF_CANDIDATE, LIF_TOUCH


def fields(const lif_t[::1] constants):
    """The constants of a neuron (1,) as the kernels read them, by name."""
    return dict(constants[0])
