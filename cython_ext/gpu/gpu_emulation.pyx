"""The kernels for graphics cards, compiled for the CPU; see emulation.h. Used by `eventsnn.gpu.emulated`."""

from cpython.exc cimport PyErr_CheckSignals
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "gpu_kernels.h":
    pass

cdef extern from "emulation.h" namespace "emulation":
    cdef struct Kernel:
        const char* name
        string codes
    vector[Kernel]& kernels()
    void begin(const string& name, const string& codes, const char* arguments, size_t size, unsigned int grid_x,
               unsigned int grid_y, unsigned int threads, size_t shared) except +
    void run_block(unsigned int x, unsigned int y, bint backwards) except +


def kernel_codes():
    """Types of the arguments of all kernels, as `run` takes them, by their names."""
    cdef size_t n
    return {kernels()[n].name.decode(): kernels()[n].codes.decode() for n in range(kernels().size())}


def run(str name, str codes, bytes arguments, tuple grid, int threads, int shared, bint backwards=False):
    """Run a kernel, one block after another.

    Parameters
    ----------
    name : str
        Of a line KERNEL(name).
    codes, arguments
        Types of the arguments and their packed bytes, see `eventsnn.gpu.device.pack`.
    grid : (int, int)
        Blocks.
    threads : int
        Of a block.
    shared : int
        Bytes of shared memory of a block.
    backwards : bool
        Threads and blocks take turns from the last to the first, which must change nothing.

    Raises
    ------
    RuntimeError
        The kernel broke a rule of CUDA or an argument has another type; says where.
    """
    cdef unsigned int x, y, columns = grid[0], rows = grid[1], n, count = columns * rows
    begin(name.encode(), codes.encode(), arguments, len(arguments), columns, rows, threads, shared)
    for n in range(count):
        x, y = n % columns, n // columns
        if backwards:
            x, y = columns - 1 - x, rows - 1 - y
        PyErr_CheckSignals()
        run_block(x, y, backwards)
