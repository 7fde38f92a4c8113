"""What the C library does with memory that was freed."""

cdef extern from *:
    """
    #if defined(__GLIBC__)
    #include <malloc.h>
    static int keep_freed_bytes(int block, int total) {
        return mallopt(M_MMAP_THRESHOLD, block) && mallopt(M_TRIM_THRESHOLD, total);
    }
    #else
    static int keep_freed_bytes(int block, int total) { (void)block; (void)total; return 0; }
    #endif
    """
    int keep_freed_bytes(int block, int total)


def keep_freed(int block=1 << 24, int total=1 << 26):
    """Keep up to `total` bytes of freed memory, in blocks of up to `block`, rather than give it back to the system.

    A mini-batch frees what the next one asks for. Memory given back comes as new pages, and several threads that touch
    new pages at once wait for each other: a seventh of the time of training on 2 threads.

    Returns
    -------
    bool
        False where this C library has no such setting.
    """
    return bool(keep_freed_bytes(block, total))
