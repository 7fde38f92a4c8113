"""Tasks that the threads of a team share out; see team.pyx."""

from eventsnn._ext.work_counter cimport WorkCounter


cdef class Task:
    cdef readonly WorkCounter counter   # over the units of work
    # Take units until none is left, or for about 10 ms: 1 if there may be more, else 0.
    cdef int work(self) except -1 nogil
