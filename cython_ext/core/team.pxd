"""Tasks that the threads of a team share out; see team.pyx."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

from eventsnn._ext.work_counter cimport WorkCounter


cdef class Task:
    cdef readonly WorkCounter counter   # over the units of work
    # Take units until none is left, or for about 10 ms: 1 if there may be more, else 0.
    cdef int work(self) except -1 nogil


cdef class Stage(Task):
    cdef int64_t most                   # units in a piece of work
    # Memory of one thread to work in, not NULL; the thread hands it back when it takes no more units.
    cdef void* take_room(self) except NULL nogil
    cdef void return_room(self, void* room) noexcept nogil
    cdef int unit(self, int64_t number, void* room) except -1 nogil


cdef class Pipeline(Stage):
    cdef readonly list stages
    cdef int64_t count                  # of the stages
    cdef PyObject** each                # the stages, for threads without the interpreter's lock


cdef class Together(Task):
    cdef readonly list tasks
    cdef int64_t count
    cdef PyObject** each
