"""A team of threads that takes the units of one task after the other, without the interpreter's lock.

A kernel that can be shared out is a `Task`: made with the lock held, it holds pointers, and any number of threads may
`work` on it at once, each taking units from its counter. The owner of the team publishes a task and works as well.
Nobody waits for a thread, only for units that a thread has taken: a helper that comes late, because the machine is
busy, finds nothing left to do.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from eventsnn._ext.work_counter cimport WorkCounter, work_take


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

    def cancel(self):
        """Leave no unit to take."""
        if self.counter is not None:
            self.counter.cancel()


cdef class Call(Task):
    """A Python function that takes units from a counter, once on each thread."""

    cdef object function

    def __init__(self, function, WorkCounter counter):
        self.function, self.counter = function, counter

    cdef int work(self) except -1 nogil:
        with gil:
            self.function()
        return 0


cdef class Stage(Task):
    """What is done with each unit apart from all others, so that several stages can follow each other unit by unit."""

    def __cinit__(self):
        self.most = <int64_t> 1 << 62

    cdef void* take_room(self) except NULL nogil:
        return <void*> self

    cdef void return_room(self, void* room) noexcept nogil:
        pass

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        return 0

    cdef int work(self) except -1 nogil:
        cdef void* room
        if self.counter.next >= self.counter.count:
            return 0
        room = self.take_room()
        try:
            return take_units(self, room)
        finally:
            self.return_room(room)


cdef int take_units(Stage stage, void* room) except -1 nogil:
    cdef int64_t number, left = stage.most
    while left > 0:
        number = work_take(&stage.counter.next)
        if number >= stage.counter.count:
            return 0
        stage.unit(number, room)
        left -= 1
    return 1


# Threads without the lock have no references: whoever made the task keeps what it is made of.
cdef void* stage_take_room(Stage stage) except NULL nogil:
    return stage.take_room()


cdef void stage_return_room(Stage stage, void* room) noexcept nogil:
    stage.return_room(room)


cdef int stage_unit(Stage stage, int64_t number, void* room) except -1 nogil:
    return stage.unit(number, room)


ctypedef void* (*take_room_t)(void* stage) except NULL nogil
ctypedef void (*return_room_t)(void* stage, void* room) noexcept nogil
ctypedef int (*unit_t)(void* stage, int64_t number, void* room) except -1 nogil
cdef take_room_t TAKE_ROOM = <take_room_t> <void*> stage_take_room
cdef return_room_t RETURN_ROOM = <return_room_t> <void*> stage_return_room
cdef unit_t UNIT = <unit_t> <void*> stage_unit


cdef PyObject** borrow(list objects) except NULL:
    """The same objects without references."""
    cdef PyObject** each = <PyObject**> calloc(len(objects) + 1, sizeof(PyObject*))
    cdef int64_t k
    if each == NULL:
        raise MemoryError("no memory for a task")
    for k in range(len(objects)):
        each[k] = <PyObject*> objects[k]
    return each


cdef class Pipeline(Stage):
    """Stages that follow each other in every unit: nobody waits for the other units of a stage.

    Parameters
    ----------
    stages : list of Stage
        At least one; of the same units. The first one's counter says which.
    """

    def __init__(self, list stages):
        cdef Stage stage
        if not stages:
            raise ValueError("a pipeline of no stages")
        self.stages, self.count = list(stages), len(stages)
        self.each = borrow(self.stages)
        for stage in self.stages:
            self.most = min(self.most, stage.most)
        self.counter = (<Stage> self.stages[0]).counter

    def __dealloc__(self):
        free(self.each)

    cdef void* take_room(self) except NULL nogil:
        cdef void** rooms = <void**> calloc(self.count, sizeof(void*))
        cdef int64_t k = 0
        if rooms == NULL:
            with gil:
                raise MemoryError("no memory for a task")
        try:
            while k < self.count:
                rooms[k] = TAKE_ROOM(<void*> self.each[k])
                k += 1
        finally:
            if k < self.count:
                self.return_room(rooms)
        return rooms

    cdef void return_room(self, void* room) noexcept nogil:
        cdef void** rooms = <void**> room
        cdef int64_t k
        for k in range(self.count):
            if rooms[k] != NULL:
                RETURN_ROOM(<void*> self.each[k], rooms[k])
        free(rooms)

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef int64_t k
        for k in range(self.count):
            UNIT(<void*> self.each[k], number, (<void**> room)[k])
        return 0


cdef class Together(Task):
    """Tasks that do not depend on each other: who finds nothing left to take of one goes on to the next.

    Parameters
    ----------
    tasks : list of Task
    """

    def __init__(self, list tasks):
        self.tasks, self.count = list(tasks), len(tasks)
        self.each = borrow(self.tasks)

    def __dealloc__(self):
        free(self.each)

    cdef int work(self) except -1 nogil:
        cdef int64_t k
        for k in range(self.count):
            if WORK(<void*> self.each[k]):
                return 1
        return 0

    def cancel(self):
        """See `Task`."""
        for task in self.tasks:
            task.cancel()


cdef int task_work(Task task) except -1 nogil:
    return task.work()


cdef int work_on(Task task) except -1 nogil:
    while task.work():
        pass
    return 0


# A helper has no reference to the task, for which it would need the lock: the owner keeps it until all have left.
ctypedef int (*work_t)(void* task) except -1 nogil
cdef work_t WORK = <work_t> <void*> task_work
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
                if self.task is not None:
                    self.task.cancel()
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
        if self.task is not None:
            self.task.cancel()
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
