"""Work shared out between threads; see work_counter.pxd."""


cdef class WorkCounter:
    """The numbers first, ..., count - 1, each for whoever asks first; from 0 unless other processes take some.

    What is done for a number must depend on the number alone, never on who does it: then results do not depend on
    the number of threads.
    """

    def __cinit__(self, int64_t count, int64_t first=0):
        self.next = first
        self.count = count

    def take(self):
        """The next number; -1 when all are taken."""
        number = work_take(&self.next)
        return number if number < self.count else -1

    def cancel(self):
        """Leave nothing to take."""
        self.next, self.cancelled = self.count, True

    @property
    def left(self):
        """Whether any number is left to take."""
        return self.next < self.count
