"""A team of threads that takes the units of one task after the other, without the interpreter's lock.

A kernel that can be shared out is a `Task`: made with the lock held, it holds pointers, and any number of threads may
`work` on it at once, each taking units from its counter. The owner of the team publishes a task and works as well.
Nobody waits for a thread, only for units that a thread has taken: a helper that comes late, because the machine is
busy, finds nothing left to do.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memset

from eventsnn._ext.work_counter cimport WorkCounter


cdef extern from "team.h":
    ctypedef struct team_t:
        int active
    int team_create(team_t* t) nogil
    void team_publish(team_t* t, void* task) nogil
    void team_close(team_t* t) nogil
    void team_stop(team_t* t) nogil
    void* team_join(team_t* t, int64_t* seen) nogil
    void team_leave(team_t* t) nogil
    int team_wait(team_t* t) nogil
    void team_free(team_t* t) nogil


cdef class Task:
    """Work that several threads may do at once; a subclass has the units.

    Attributes
    ----------
    counter : WorkCounter
        What the units are taken from.
    """

    cdef int work(self) except -1 nogil:
        return 0

    def __call__(self):
        """Do what is left of it on the calling thread; Ctrl-C is heard between its pieces."""
        cdef int more = 1
        while more:
            with nogil:
                more = self.work()
            PyErr_CheckSignals()


cdef class Call(Task):
    """A Python function that takes units from a counter, once on each thread."""

    cdef object function

    def __init__(self, function, WorkCounter counter):
        self.function, self.counter = function, counter

    cdef int work(self) except -1 nogil:
        with gil:
            self.function()
        return 0


cdef int work_on(Task task) except -1 nogil:
    while task.work():
        pass
    return 0


# A helper has no reference to the task, for which it would need the lock: the owner keeps it until all have left.
ctypedef int (*work_t)(void* task) except -1 nogil
cdef work_t WORK_ON = <work_t> <void*> work_on


cdef class Team:
    """Threads that call `serve`, and an owner that publishes tasks; all other methods are the owner's."""

    cdef team_t team
    cdef Task task
    cdef list errors

    def __cinit__(self):
        memset(&self.team, 0, sizeof(team_t))
        if team_create(&self.team):
            raise MemoryError("no memory for a team of threads")
        self.errors = []

    def __dealloc__(self):
        team_free(&self.team)

    def serve(self):
        """Take part in every task until the team stops: what a helper does."""
        cdef int64_t seen = 0
        cdef void* task
        while True:
            try:
                with nogil:
                    task = team_join(&self.team, &seen)
                    while task != NULL:
                        WORK_ON(task)
                        team_leave(&self.team)
                        task = team_join(&self.team, &seen)
                return
            except BaseException as error:
                self.errors.append(error)
                # The owner waits for this helper, and so keeps the task.
                if self.task is not None and self.task.counter is not None:
                    self.task.counter.cancel()
                with nogil:
                    team_leave(&self.team)

    def start(self, Task task):
        """Let the helpers begin; `finish` must follow."""
        self.task = task
        with nogil:
            team_publish(&self.team, <void*> <PyObject*> self.task)

    def finish(self):
        """Work until no unit is left, and wait for those that helpers have taken.

        Raises
        ------
        BaseException
            The first error in the work, of whichever thread.
        """
        if self.task is None:
            return
        try:
            self.task()
            self.wait()
        except BaseException:
            self.abandon()
            raise
        if self.errors:
            error = self.errors[0]
            self.errors.clear()
            raise error

    def abandon(self):
        """Take no further units, and wait for those taken; errors in them are not reported."""
        if self.task is not None and self.task.counter is not None:
            self.task.counter.cancel()
        while self.task is not None:
            try:
                self.wait()
            except KeyboardInterrupt:
                pass  # whoever abandons the work is on the way out already
        self.errors.clear()

    def stop(self):
        """End the helpers; work that was begun is abandoned."""
        self.abandon()
        with nogil:
            team_stop(&self.team)

    cdef int wait(self) except -1:
        cdef int left = 0
        with nogil:
            team_close(&self.team)
        while not left:
            with nogil:
                left = team_wait(&self.team)
            PyErr_CheckSignals()
        self.task = None
        return 0
