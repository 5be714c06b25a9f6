# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
"""The compiled core: `_core_py.py`, name for name, with the loop over C arrays. Read that one first.

What is different here: the caller's arguments reach each handler as the very array in which they came (vectorcall),
so an emission allocates nothing but its list of results. `emit` is therefore a C function with the vectorcall
signature that is put on the class by hand, below.

On free-threaded builds an attribute that another thread may rebind is loaded and stored under a critical section
around the load or store alone: a group's `epoch` and `snapshot`. With a GIL it costs nothing.
"""

cimport cython
from cpython.dict cimport PyDict_SetItem
from cpython.exc cimport PyErr_ExceptionMatches
from cpython.long cimport PyLong_FromVoidPtr
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE

from _thread import RLock
from _weakref import ref as weakref
from types import BuiltinMethodType, GenericAlias, MethodDescriptorType, MethodType, MethodWrapperType, ModuleType

from cyevents._common import ANY, Cancelled, drops_result_of, kind_of_result

cdef extern from *:
    """
    #define CYE_OFFSET PY_VECTORCALL_ARGUMENTS_OFFSET

    /* The object of a weak reference as a new reference, or NULL if it is dead. No error is ever set. */
    static inline PyObject *cye_deref(PyObject *ref) {
        PyObject *object;
    #ifdef Py_GIL_DISABLED
        if (PyWeakref_GetRef(ref, &object) < 0) PyErr_Clear();
    #else
        object = ((PyWeakReference *)ref)->wr_object;
        if (object == Py_None || Py_REFCNT(object) <= 0) return NULL;
        Py_INCREF(object);
    #endif
        return object;
    }

    /* An entry's flags may be set by another thread between two looks; no more than that is needed of them. */
    #if defined(Py_GIL_DISABLED) && (defined(__GNUC__) || defined(__clang__))
    #define CYE_FLAGS(flags) __atomic_load_n(&(flags), __ATOMIC_ACQUIRE)
    #define CYE_SET_FLAGS(flags, value) __atomic_store_n(&(flags), (value), __ATOMIC_RELEASE)
    #else
    #define CYE_FLAGS(flags) (*(volatile int *)&(flags))
    #define CYE_SET_FLAGS(flags, value) ((void)(*(volatile int *)&(flags) = (value)))
    #endif

    /* Whether a result is a value by its type's slots: neither awaitable nor an iterator of any kind. */
    static inline int cye_is_value(PyObject *result) {
        PyTypeObject *type = Py_TYPE(result);
        PyAsyncMethods *async = type->tp_as_async;
        return type->tp_iternext == NULL && (async == NULL || (async->am_await == NULL && async->am_anext == NULL));
    }

    /* Whether a keyword's name is `name`, which is interned; as nearly all names are. */
    static inline int cye_is_name(PyObject *keyword, PyObject *name) {
        if (keyword == name) return 1;
        if (PyUnicode_CHECK_INTERNED(keyword)) return 0;
        return PyUnicode_Compare(keyword, name) == 0;
    }

    /* The frame of the Python code that runs, or None. (sys._getframe, called from C, may find half a frame.) */
    static inline PyObject *cye_frame(void) {
        PyObject *frame = (PyObject *)PyEval_GetFrame();
        return Py_NewRef(frame ? frame : Py_None);
    }

    /* The two steps of calling a type. */
    static inline PyObject *cye_new(PyTypeObject *type, PyObject *args) { return type->tp_new(type, args, NULL); }
    static inline int cye_init(PyTypeObject *type, PyObject *self, PyObject *args, PyObject *keywords) {
        return type->tp_init(self, args, keywords);
    }

    static inline PyObject *cye_frame_code(PyObject *frame) {
        return (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
    }
    static inline int cye_frame_instruction(PyObject *frame) { return PyFrame_GetLasti((PyFrameObject *)frame); }

    static inline unsigned int cye_version(PyObject *type) { return ((PyTypeObject *)type)->tp_version_tag; }
    static inline PyObject *cye_dict(PyObject *type) { return Py_XNewRef(((PyTypeObject *)type)->tp_dict); }
    static inline PyObject *cye_none(void) { return Py_None; }
    static inline PyObject *cye_false(void) { return Py_False; }
    """
    size_t CYE_OFFSET
    PyObject *cye_deref(PyObject *ref) noexcept
    int CYE_FLAGS(int flags) noexcept
    void CYE_SET_FLAGS(int flags, int value) noexcept
    bint cye_is_value(PyObject *result) noexcept
    bint cye_is_name(PyObject *keyword, PyObject *name) noexcept
    object cye_frame()
    object cye_frame_code(PyObject *frame)
    int cye_frame_instruction(PyObject *frame) noexcept
    object cye_new(PyTypeObject *type, tuple args)
    int cye_init(PyTypeObject *type, object self, tuple args, dict keywords) except -1
    unsigned int cye_version(PyObject *type) noexcept
    dict cye_dict(PyObject *type)
    PyObject *cye_none() noexcept
    PyObject *cye_false() noexcept

cdef extern from "Python.h":
    PyObject *PyObject_Vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    int PyList_Append(PyObject *list, PyObject *item) noexcept
    int PyObject_IsTrue(PyObject *) noexcept
    PyObject *PyErr_NoMemory() noexcept
    bint PyFunction_Check(PyObject *) noexcept
    PyObject *PyObject_Call(PyObject *callable, PyObject *args, PyObject *kwargs) noexcept
    bint PyBool_Check(object)
    bint PyBytes_Check(object)
    bint PyLong_Check(object)
    bint PyUnicode_Check(object)
    bint PyUnicode_CheckExact(object)
    bint PyCoro_CheckExact(PyObject *)
    PyObject *PyTuple_GET_ITEM(object tuple, Py_ssize_t i) noexcept
    void *PyExc_Exception
    int Py_EnterRecursiveCall(const char *where) noexcept
    void Py_LeaveRecursiveCall() noexcept
    int METH_FASTCALL
    int METH_KEYWORDS
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    object PyDescr_NewMethod(PyTypeObject *, PyMethodDef *)
    void PyType_Modified(PyTypeObject *)
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(PyObject *generator, PyObject *value, PyObject **result) noexcept


# An entry's flags word. It is zero for the common handler, and looked at once per call.
cdef enum:
    _DEAD = 1  # disconnected, or spent
    _REPLACED = 2  # connected again since: to be called by the emissions that have begun, unless disconnected meanwhile
    _ONCE = 4
    _WITH_EVENT = 8
    _CONDITION = 16
    _THREAD = 32
    _FOREIGN = 64  # no Python function: its recursion is counted here

DEAD = _DEAD
REPLACED = _REPLACED
ONCE = _ONCE
WITH_EVENT = _WITH_EVENT
CONDITION = _CONDITION
THREAD = _THREAD

# How an entry holds its handler.
cdef enum:
    STRONG  # function: the handler
    WEAK  # function: a Ref to the handler
    STRONG_METHOD  # function and owner
    WEAK_OWNER  # function, and owner a Ref: a builtin's method, whose function knows nothing
    WEAK_METHOD  # function and owner Refs

# What a handler returned, as in _common.
cdef enum:
    VALUE
    GENERATOR
    AWAITABLE
    ASYNC_GENERATOR

cdef enum:
    ROOM = 12  # arguments for which there is room on the C stack

lock = RLock()
cdef object _acquire = lock.acquire
cdef object _release = lock.release
cdef list _dead = []
cdef long long _last_serial = 0
cdef object _SENDER = "sender"
cdef object _EVENT = "event"


class Ref(weakref):
    """A weak reference to a handler or a sender that knows where in which event's tables it belongs."""

    __slots__ = ("handler_key", "home", "sender_key")


cdef object _Ref = Ref


def _died(ref):
    """Called by the interpreter when a handler or a sender dies: in any thread, between any two instructions."""
    cdef EventCore home = ref.home()
    cdef Group group
    cdef Entry entry
    if home is None:
        return
    if ref.handler_key is not None:
        group = home._group_of(ref.sender_key)
        entry = None if group is None else group.entries.get(ref.handler_key)
        if entry is not None and entry.serial == _last_serial and entry.is_held_by(ref):
            # The newest handler of all: has it died on the spot?
            frame = cye_frame()  # this function has none of its own
            if frame is not None and drops_result_of(frame, entry.code, entry.instruction):
                _dead.append((home, entry))
                sweep()
                home._warn_vanished(entry.name, frame)
                return
    _dead.append((home, ref))
    sweep()


cdef object _died_callback = _died


cdef _bury(Entry entry):
    """Leave a note that an entry is to be taken out of its event's tables."""
    home = entry.home()
    if home is not None:
        _dead.append((home, entry))


cpdef sweep():
    """Take out of the tables what has died, unless another thread holds the lock: then it will, on letting go."""
    cdef list trash = []
    cdef EventCore home
    while _dead and lock.acquire(False):
        try:
            while _dead:
                try:
                    home, what = note = _dead.pop()
                except IndexError:  # a finalizer was faster
                    break
                trash.append(note)
                home._take_out(what, trash)
        finally:
            lock.release()
        home = what = note = None
        trash.clear()


cpdef object handler_key(handler):
    """What makes two handlers the same one: identity, for bound methods that of object and function."""
    if PyFunction_Check(<PyObject *>handler):
        return PyLong_FromVoidPtr(<PyObject *>handler)
    cls = type(handler)
    if cls is MethodType:
        return id(handler.__self__), id(handler.__func__)
    if cls is MethodWrapperType or (cls is BuiltinMethodType and _is_bound(handler)):
        return id(handler.__self__), handler.__name__
    return PyLong_FromVoidPtr(<PyObject *>handler)


cdef bint _is_bound(builtin):
    """Whether a builtin is a method of an object (`seen.add`) rather than a function (`print`)."""
    owner = builtin.__self__
    return owner is not None and not issubclass(type(owner), ModuleType)


cdef object sender_key(sender):
    """What makes two senders the same one: the value of str, bytes and int (bool is none of these), else identity."""
    if PyUnicode_CheckExact(sender):
        return sender
    if PyUnicode_Check(sender):
        return str.__str__(sender)
    if PyLong_Check(sender) and not PyBool_Check(sender):
        return int, int.__index__(sender)
    if PyBytes_Check(sender):
        return bytes, bytes.__bytes__(sender)
    return PyLong_FromVoidPtr(<PyObject *>sender)


@cython.final
cdef class Line:
    """What the entries of one handler and sender that have replaced each other share: whether the last one stands."""

    cdef bint stands


@cython.final
cdef class Entry:
    """One connection: a handler, and how and in what order it is called. Only its flags ever change."""

    cdef int _flags  # what an emission looks at comes first
    cdef int shape
    cdef object function
    cdef object owner
    cdef bint tickets  # one, if it is to be called once
    cdef bint _warned
    cdef int instruction  # where it was connected: the caller's code and instruction in it
    cdef object code
    cdef readonly object handler_key
    cdef readonly object sender_key
    cdef readonly object home  # a weak reference to the event whose table it is in
    cdef readonly object priority
    cdef readonly long long serial  # when it was registered, over all events
    cdef readonly object condition
    cdef readonly str name
    cdef Line line  # shared by the entries that have replaced each other
    cdef tuple before  # what it had replaced, once what connected it is over

    @property
    def flags(self):
        return CYE_FLAGS(self._flags)

    cdef _set(self, int flags):
        """Set flags: under the lock."""
        CYE_SET_FLAGS(self._flags, self._flags | flags)

    cpdef object get(self):
        """The handler, or None once it is dead."""
        cdef PyObject *function
        cdef PyObject *owner
        if not self._take(&function, &owner):
            return None
        try:
            return <object>function if owner is NULL else MethodType(<object>function, <object>owner)
        finally:
            Py_DECREF(<object>function)
            if owner is not NULL:
                Py_DECREF(<object>owner)

    cdef inline bint _take(self, PyObject **function, PyObject **owner) noexcept:
        """Take references to the function, and the owner if the handler is a method; false if it is dead."""
        cdef int shape = self.shape
        owner[0] = NULL
        if shape == WEAK:
            function[0] = cye_deref(<PyObject *>self.function)
            return function[0] is not NULL
        if shape == STRONG:
            function[0] = <PyObject *>self.function
            Py_INCREF(self.function)
            return True
        if shape == STRONG_METHOD:
            owner[0] = <PyObject *>self.owner
            Py_INCREF(self.owner)
        else:
            owner[0] = cye_deref(<PyObject *>self.owner)
            if owner[0] is NULL:
                return False
        if shape == WEAK_METHOD:
            function[0] = cye_deref(<PyObject *>self.function)
            if function[0] is NULL:
                Py_DECREF(<object>owner[0])
                owner[0] = NULL
                return False
        else:
            function[0] = <PyObject *>self.function
            Py_INCREF(self.function)
        return True

    cdef die(self):
        """Be called no more, by an emission that has begun neither: under the lock."""
        self._set(_DEAD)
        if self.line is not None:
            self.line.stands = False

    cdef object _ref(self):
        """The reference that tells of the handler's death; None: it is held strongly."""
        if self.shape == WEAK:
            return self.function
        return None if self.shape == STRONG or self.shape == STRONG_METHOD else self.owner

    cdef bint is_held_by(self, ref):
        """Whether this is one of the references by which the handler is held."""
        return self._ref() is ref or (self.shape == WEAK_METHOD and self.function is ref)

    cdef bint is_python(self):
        """Whether the handler is a Python function or a method of one, which count their recursion themselves."""
        function = self.function
        if self.shape == WEAK or self.shape == WEAK_METHOD:
            function = function()
        return PyFunction_Check(<PyObject *>function)

    cdef bint claim(self):
        """Spend a `once` entry: true for one caller alone, in whatever threads they are."""
        cdef bint claimed
        with cython.critical_section(self):
            claimed = self.tickets
            self.tickets = False
        return claimed

    def warned(self):
        """Whether this was asked before: its condition has raised, and the first time is louder."""
        before, self._warned = self._warned, True
        return before

    @property
    def spent(self):
        """Whether it was to be called once, and has been."""
        return bool(self._flags & _ONCE) and not self.tickets

    @property
    def weak(self):
        """Whether the handler is held weakly."""
        return self._ref() is not None


cdef _hold(Entry entry, handler, bint weak):
    """Keep a handler in an entry. Of a bound method object and function are held apart."""
    cls = type(handler)
    entry.shape = STRONG
    entry.function = handler
    if cls is MethodType:
        entry.shape = STRONG_METHOD
        entry.function = handler.__func__
        entry.owner = handler.__self__
    if not weak:
        return
    function = None
    if cls is BuiltinMethodType and _is_bound(handler):
        function = _descriptor(handler)
    try:
        if cls is MethodType:
            entry.owner = _make_ref(entry, entry.owner)
            entry.shape = WEAK_OWNER
            try:
                entry.function = _make_ref(entry, entry.function)
                entry.shape = WEAK_METHOD
            except TypeError:  # a builtin's
                pass
        elif function is not None:
            entry.owner = _make_ref(entry, handler.__self__)
            entry.function = function
            entry.shape = WEAK_OWNER
        else:
            entry.function = _make_ref(entry, handler)
            entry.shape = WEAK
    except TypeError:
        raise TypeError(
            f"{handler!r} cannot be held weakly: connect it with weak=False, and disconnect it when done"
        ) from None


cdef object _make_ref(Entry entry, target):
    ref = Ref(target, _died_callback)
    ref.home = entry.home
    ref.sender_key = entry.sender_key
    ref.handler_key = entry.handler_key
    return ref


cdef object _descriptor(builtin):
    """The function of a builtin method, which takes the object as its first argument; None if there is none."""
    for cls in type(builtin.__self__).__mro__:
        function = cls.__dict__.get(builtin.__name__)
        if type(function) is MethodDescriptorType:
            return function
    return None


@cython.final
cdef class Snapshot:
    """The entries that an emission runs, in order. It never changes."""

    cdef readonly tuple entries
    cdef bint methods  # whether there are methods among the handlers
    cdef object epoch  # of the sender's group when this was built,
    cdef object base  # and of the group of any sender
    cdef list _tiers

    def tiers(self):
        """The entries parted by priority."""
        cdef list tiers
        with cython.critical_section(self):
            if self._tiers is None:
                self._tiers = self._parted()
            tiers = self._tiers
        return tiers

    cdef list _parted(self):
        cdef Entry entry
        cdef Entry first = None
        cdef list tiers = []
        for entry in self.entries:
            if first is None or first.priority != entry.priority:
                first = entry
                tiers.append([])
            tiers[-1].append(entry)
        return [tuple(tier) for tier in tiers]


cdef class Pending:
    """What an emission that waits for its handlers has started: its tasks, whatever these are, and whose they are."""

    cdef public object make  # a type of tasks, made of a coroutine and `keywords`; None: they are started by `start`
    cdef public dict keywords
    cdef readonly list tasks
    cdef readonly list handlers
    cdef readonly list places  # where among the results theirs belong
    cdef readonly list marks  # how many results there were when errors were collected

    def __cinit__(self, *args, **kwargs):
        self.keywords = {}
        self.tasks = []
        self.handlers = []
        self.places = []
        self.marks = []

    def __init__(self):
        pass

    cpdef add(self, task, handler, list results):
        """Note a task, and keep a place for its result."""
        self.tasks.append(task)
        self.handlers.append(handler)
        self.places.append(len(results))
        results.append(None)

    cdef object make_one(self, coroutine):
        """Make a task, in two steps: one that raises while it is made must be cleaned up."""
        cdef PyTypeObject *cls = <PyTypeObject *>self.make
        task = cye_new(cls, ())
        try:
            cye_init(cls, task, (coroutine,), self.keywords)
        except BaseException:
            self.not_started(task, coroutine)
            raise
        return task

    # Hooks: what the shell adds.

    def start(self, result, kind):
        """Start a task for what an async handler returned."""
        raise NotImplementedError

    def start_thread(self, handler, args, kwargs):
        """Start a task that calls a handler in a thread."""
        raise NotImplementedError

    def not_started(self, task, coroutine):
        """Clean up after a task that could not be made: an exception will tell of it."""


@cython.final
cdef class Group:
    """The connections of one event for one sender, or for any."""

    cdef object key
    cdef object sender  # a Ref where it can be weakly referenced
    cdef dict entries  # by handler key
    cdef object epoch  # another one after each change
    cdef Snapshot snapshot

    def __cinit__(self, key, sender):
        self.key = key
        self.sender = sender
        self.entries = {}
        self.epoch = object()

    cdef bint means(self, sender):
        """Whether this is the very sender, and not an object that has got the id of a dead one."""
        return type(self.sender) is not _Ref or self.sender() is sender

    cdef object the_sender(self):
        """The sender, or None if it is dead."""
        return self.sender() if type(self.sender) is _Ref else self.sender

    cdef object load_epoch(self):
        with cython.critical_section(self):
            epoch = self.epoch
        return epoch

    cdef inline Snapshot load(self):
        """The snapshot, if it is not stale."""
        cdef Snapshot snapshot
        with cython.critical_section(self):
            snapshot = self.snapshot
            if snapshot is not None and snapshot.epoch is not self.epoch:
                snapshot = None
        return snapshot

    cdef Snapshot store(self, Snapshot snapshot):
        """Put a snapshot, or None, in place of the one there is, which is returned."""
        cdef Snapshot old
        with cython.critical_section(self):
            old = self.snapshot
            self.snapshot = snapshot
        return old

    cdef Snapshot change(self):
        """Make the snapshot stale, and return it."""
        cdef Snapshot old
        epoch = object()
        with cython.critical_section(self):
            self.epoch, epoch = epoch, self.epoch
            old = self.snapshot
            self.snapshot = None
        return old


def _by_serial(Entry entry):
    return entry.serial


def _by_priority(Entry entry):
    return entry.priority


cdef list _in_order(entries):
    """Higher priority first, equal priorities in order of registration."""
    cdef list ordered = sorted(entries, key=_by_serial)
    ordered.sort(key=_by_priority, reverse=True)  # a reversed sort is stable too
    return ordered


cdef class EventCore:
    """An event's tables and its emission. `Event` adds what a user sees."""

    cdef Group _any
    cdef bint _filtered  # whether there have been groups for senders
    cdef dict _groups  # by sender key
    cdef dict _warm  # those of the groups that have a snapshot
    cdef readonly list _sources  # the patterns that match this event
    cdef dict _dependents  # a pattern's events
    cdef dict _muted  # how many times, by handler key; None: the whole event
    cdef readonly list _lost  # names of handlers that died, to be logged
    cdef object _self
    cdef object __weakref__

    __class_getitem__ = classmethod(GenericAlias)

    def __cinit__(self, *args, **kwargs):
        self._any = Group(ANY, ANY)
        self._groups = {}
        self._warm = {}
        self._sources = []
        self._dependents = {}
        self._muted = {}
        self._lost = []
        self._self = weakref(self)

    def __init__(self):
        pass

    # Emission: `emit` itself stands below, with the other C functions.

    def _dispatch(self, tuple entries, sender, tuple args, dict kwargs, list results, list errors, Pending pending):
        """Call entries in order, filling `results` and, where errors are grouped, `errors`.

        What is awaited, or is to run in a thread, is started and added to `pending`; without that, the
        one is scheduled and the other runs in place.

        Returns the handler that cancelled, or None.
        """
        cdef list values = [sender, *args, *kwargs.values()]  # keeps alive what the array refers to
        cdef tuple names = tuple(kwargs)
        cdef PyObject *room[ROOM]
        cdef PyObject **array = room
        cdef Py_ssize_t i
        cdef PyObject *canceller = NULL
        if len(values) > ROOM:
            array = <PyObject **>PyMem_Malloc(len(values) * sizeof(PyObject *))
            if array is NULL:
                raise MemoryError
        try:
            for i in range(len(values)):
                array[i] = <PyObject *>values[i]
            run(self, entries, True, array, 1 + len(args), <PyObject *>names if names else NULL, results, errors, pending, &canceller)
            if canceller is NULL:
                return None
            handler = <object>canceller
            Py_DECREF(handler)
            return handler
        finally:
            if array is not room:
                PyMem_Free(array)

    # Snapshots

    def _snapshot(self, sender):
        """What an emission by this sender runs."""
        return self._snapshot_for(sender)

    cdef Snapshot _snapshot_for(self, sender):
        cdef Group group
        cdef Snapshot snapshot
        if self._filtered:
            group = self._groups.get(sender_key(sender))
            if group is not None and group.means(sender):
                snapshot = group.load()
                if snapshot is None or snapshot.base is not self._any.load_epoch():
                    snapshot = self._build(group, sender)
                return snapshot
        snapshot = self._any.load()
        if snapshot is None:
            snapshot = self._build(self._any, sender)
        return snapshot

    cdef Snapshot _build(self, Group group, sender):
        """Make a group's snapshot, without a lock: a change that comes in between makes it stale at once."""
        cdef EventCore source
        cdef Snapshot snapshot
        cdef Entry entry
        cdef dict chosen = {}
        for source in [self, *self._sources]:
            if source._lost:
                source._log_lost()
        epoch, base = group.load_epoch(), self._any.load_epoch()
        for entry in self._candidates(group, sender):
            if entry.get() is not None:
                chosen[entry.handler_key] = entry
            else:  # its callback had no stack left to run on, or has just begun to
                _bury(entry)
        snapshot = Snapshot()
        snapshot.entries = tuple(_in_order(chosen.values()))
        for entry in snapshot.entries:
            snapshot.methods |= entry.shape >= STRONG_METHOD
        snapshot.epoch = epoch
        snapshot.base = base
        group.store(snapshot)
        if group is not self._any:
            self._warm[group.key] = group
            if self._groups.get(group.key) is not group:
                self._warm.pop(group.key, None)
        if group.load_epoch() is not epoch or self._any.load_epoch() is not base:
            group.store(None)  # not to keep alive what has just been disconnected
        if _dead:
            sweep()
        return snapshot

    cdef list _candidates(self, Group group, sender):
        """All entries for a sender that are not muted, the most specific last, so that it wins."""
        cdef EventCore source
        cdef Group other
        cdef Entry entry
        if None in self._muted:
            return []
        cdef list general = []
        cdef list special = []
        for source in list(self._sources):
            general += source._audible(source._any)
            if group is not self._any:
                other = source._groups.get(group.key)
                if other is not None and other.means(sender):
                    special += source._audible(other)
        cdef list candidates = sorted(general, key=_by_serial) + sorted(special, key=_by_serial)
        candidates += list(self._any.entries.values())
        if group is not self._any:
            candidates += list(group.entries.values())
        if self._muted:
            candidates = [entry for entry in candidates if entry.handler_key not in self._muted]
        return candidates

    cdef list _audible(self, Group group):
        """A group's entries, less what this pattern has muted."""
        cdef Entry entry
        cdef list entries = list(group.entries.values())
        if not self._muted:
            return entries
        if None in self._muted:
            return []
        return [entry for entry in entries if entry.handler_key not in self._muted]

    # Changes: each under the lock, with a list for what is to be let go after it.

    def _connect(self, handler, sender, bint weak, priority, condition, int flags, str name, frame):
        """Connect, in place of the handler's connection for the same sender if there is one; return both entries."""
        global _last_serial
        cdef Entry entry = Entry.__new__(Entry)
        entry._flags = flags
        entry.handler_key = handler_key(handler)
        entry.sender_key = ANY if sender is ANY else sender_key(sender)
        entry.home = self._self
        entry.priority = priority
        entry.condition = condition
        entry.name = name
        entry.code = cye_frame_code(<PyObject *>frame)
        entry.instruction = cye_frame_instruction(<PyObject *>frame)
        entry.tickets = flags & _ONCE
        _hold(entry, handler, weak)
        if not entry.is_python():
            entry._flags |= _FOREIGN
        cdef list trash = []
        _acquire()  # a with statement costs three times as much
        try:
            _last_serial += 1
            entry.serial = _last_serial
            previous = self._put(entry, sender, trash)
        finally:
            _release()
        if _dead:
            sweep()
        return entry, previous

    cdef Entry _put(self, Entry entry, sender, list trash):
        """Enter an entry in its group; return the one that it replaces."""
        cdef EventCore dependent
        cdef Group group
        cdef Entry previous
        while True:
            group = self._any if entry.sender_key is ANY else self._group_for(entry.sender_key, sender, trash)
            previous = group.entries.pop(entry.handler_key, None)
            group.entries[entry.handler_key] = entry
            if self._group_of(entry.sender_key) is group:  # and was not tidied away by a finalizer
                break
        if previous is not None:
            if previous.line is None:
                previous.line = Line()  # before the flag is set, and never another one
            entry.line = previous.line
            previous._set(_REPLACED)
        if entry.line is not None:
            entry.line.stands = True
        self._invalidate(group, trash)
        if self._dependents:
            for dependent in list(self._dependents.values()):
                dependent._follow(entry.sender_key, sender, trash)
        return previous

    cdef Group _group_of(self, key):
        return self._any if key is ANY else self._groups.get(key)

    cdef Group _group_for(self, key, sender, list trash):
        """The group of a sender, made if need be."""
        cdef Group group = self._groups.get(key)
        if group is not None:
            if group.means(sender):
                return group
            self._discard_group(group, trash)  # a dead sender had this one's id
        group = Group(key, sender)
        if isinstance(key, int):  # by identity: held weakly if possible
            try:
                ref = Ref(sender, _died_callback)
            except TypeError:
                pass
            else:
                ref.home = self._self
                ref.sender_key = key
                ref.handler_key = None
                group.sender = ref
        self._filtered = True
        return self._groups.setdefault(key, group)

    cdef _discard_group(self, Group group, list trash):
        cdef Entry entry
        if self._groups.get(group.key) is group:
            del self._groups[group.key]
        self._warm.pop(group.key, None)
        for entry in list(group.entries.values()):
            entry.die()
        trash.append(group.entries.copy())
        group.entries.clear()
        trash.append(group.store(None))

    cdef _tidy(self, key, list trash):
        """Forget the group of a sender for which nothing is connected any more, here or by a pattern."""
        cdef EventCore source, dependent
        cdef Group group = self._groups.get(key)
        if group is not None and not group.entries:
            for source in list(self._sources):
                if key in source._groups:
                    break
            else:
                self._discard_group(group, trash)
        for dependent in list(self._dependents.values()):
            dependent._tidy(key, trash)

    cdef _invalidate(self, Group group, list trash):
        """Make the snapshots stale that have to do with a group."""
        cdef EventCore dependent
        cdef Group other
        cdef list warm
        trash.append(group.change())
        if group is self._any and self._warm:
            warm = list(self._warm.values())
            self._warm.clear()
            for other in warm:
                trash.append(other.store(None))
        if not self._dependents:
            return
        for dependent in list(self._dependents.values()):
            other = dependent._any if group is self._any else dependent._groups.get(group.key)
            if other is not None:
                dependent._invalidate(other, trash)

    cdef bint _remove(self, Entry entry, list trash):
        """Disconnect an entry, if it still stands."""
        cdef Group group = self._group_of(entry.sender_key)
        if group is None or group.entries.get(entry.handler_key) is not entry:
            return False
        del group.entries[entry.handler_key]
        entry.die()
        trash.append(entry)
        self._invalidate(group, trash)
        if group is not self._any:
            self._tidy(group.key, trash)
        return True

    cdef _take_out(self, what, list trash):
        """Remove what has died: a spent entry, that of a dead handler, or all those for a dead sender."""
        cdef Group group
        cdef Entry entry
        if type(what) is _Ref:
            group = self._group_of(what.sender_key)
            if group is None:
                return
            if what.handler_key is None:
                if group.sender is what:
                    self._discard_group(group, trash)
                return
            entry = group.entries.get(what.handler_key)
            if entry is not None and entry.is_held_by(what) and self._remove(entry, trash) and len(self._lost) < 100:
                self._lost.append(entry.name)
        else:
            self._remove(what, trash)

    def _disconnect_entry(self, Entry entry):
        """Remove this very connection; return whether it still stood."""
        cdef list trash = []
        cdef bint removed = False
        with lock:
            removed = self._remove(entry, trash)
        if _dead:
            sweep()
        return removed

    def _disconnect(self, handler, sender):
        """Remove a handler's connection for a sender, or all its connections if that is ANY."""
        cdef Group group
        cdef Entry entry
        key = handler_key(handler)
        cdef list trash = []
        cdef bint removed = False
        with lock:
            if sender is ANY:
                groups = [self._any, *self._groups.values()]
            else:
                group = self._groups.get(sender_key(sender))
                groups = [group] if group is not None and group.means(sender) else []
            for group in groups:
                entry = group.entries.get(key)
                if entry is not None and _is_alive(entry, trash):
                    removed |= self._remove(entry, trash)
        if _dead:
            sweep()
        return removed

    def _clear(self):
        """Remove all connections."""
        cdef Group group
        cdef Entry entry
        cdef list trash = []
        with lock:
            for group in [self._any, *self._groups.values()]:
                for entry in list(group.entries.values()):
                    self._remove(entry, trash)
        if _dead:
            sweep()

    def _restore(self, Entry entry, Entry previous, sender):
        """Undo a `_connect`: put back the entry that it replaced, unless someone changed the connection since."""
        cdef Group group
        cdef Entry current
        cdef list trash = []
        with lock:
            group = self._group_of(entry.sender_key)
            current = None if group is None else group.entries.get(entry.handler_key)
            if current is entry or (current is None and entry.spent):
                self._remove(entry, trash)
                previous = _still_meant(previous)
                if previous is not None and not previous.spent and _is_alive(previous, trash):
                    CYE_SET_FLAGS(previous._flags, previous._flags & ~_REPLACED)
                    self._put(previous, sender, trash)
            else:
                entry.before = (_still_meant(previous),)
        if _dead:
            sweep()

    def _mute(self, keys, int by):
        """Mute handlers, or the whole event by the key None (`by` 1), or let them be heard again (`by` -1)."""
        cdef list trash = []
        with lock:
            for key in keys:
                times = self._muted.get(key, 0) + by
                if times > 0:
                    self._muted[key] = times
                else:
                    self._muted.pop(key, None)
            self._invalidate(self._any, trash)
        if _dead:
            sweep()

    # Patterns

    def _attach(self, EventCore source, list trash):
        """Let the handlers of a pattern hear this event too. Called under the lock."""
        cdef Group group
        self._sources.append(source)
        source._dependents[id(self)] = self
        self._invalidate(self._any, trash)
        for group in list(source._groups.values()):
            sender = group.the_sender()
            trash.append(sender)
            if sender is not None or group.key == id(None):
                self._follow(group.key, sender, trash)

    def _detach(self, EventCore source, list trash):
        """Undo `_attach`. Called under the lock."""
        if source in self._sources:
            self._sources.remove(source)
        source._dependents.pop(id(self), None)
        self._invalidate(self._any, trash)
        for key in list(source._groups):
            self._tidy(key, trash)

    cdef _follow(self, key, sender, list trash):
        """Have a group for a sender that a pattern has one for, so that its emissions find it."""
        if key is not ANY:
            self._invalidate(self._group_for(key, sender, trash), trash)

    # Introspection

    def _connections(self):
        """All entries in dispatch order, each with its sender and the event, or pattern, that it is connected to."""
        cdef EventCore source
        cdef Group group
        cdef Entry entry
        cdef dict rows = {}
        for source in [*self._sources, self]:
            for group in [source._any, *list(source._groups.values())]:
                for entry in list(group.entries.values()):
                    rows[entry.serial] = entry, group.the_sender(), source
        return [rows[entry.serial] for entry in _in_order([row[0] for row in rows.values()])]

    def _reaches(self, sender):
        """Whether an emission by this sender would find a handler."""
        cdef Entry entry
        for entry in self._snapshot_for(sender).entries:
            if entry.get() is not None and not entry._flags & _DEAD and not entry.spent:
                return True
        return False

    # Hooks: what the shell adds.

    def _schedule(self, result, kind, handler, sender):
        """See to it that what an async handler returned is awaited."""
        raise NotImplementedError

    def _error_policy(self):
        """What is done with an `Exception` of a handler: "raise", "group" or a callable."""
        return "raise"

    def _grouped(self, errors):
        """The one exception for several."""
        raise NotImplementedError

    def _condition_failed(self, error, entry, handler, sender):
        """A condition raised, and its handler is skipped."""

    def _warn_vanished(self, name, frame):
        """A handler died on the spot."""

    def _log_lost(self):
        """Handlers named in `_lost` have died since the last snapshot."""


cdef Entry _still_meant(Entry entry):
    """An entry that was replaced for a time, or what it had replaced itself, if its own time is over meanwhile."""
    while entry is not None and entry.before is not None:
        entry = entry.before[0]
    return entry


cdef bint _is_alive(Entry entry, list trash) except -1:
    """Whether an entry's handler is; asked under the lock, where the last reference to it must not be let go."""
    handler = entry.get()
    trash.append(handler)
    return handler is not None


# The loop

cdef int run(
    EventCore self,
    tuple entries,
    bint methods,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    list results,
    list errors,
    Pending pending,
    PyObject **canceller,
) except -1:
    """Call entries in order with the arguments, of which the sender is the first: see `EventCore._dispatch`.

    `methods` is whether there may be methods among the handlers. Without a list for them, grouped errors are raised
    at the end. If there was a canceller, it is handed over as a new reference.
    """
    cdef Py_ssize_t i
    cdef Py_ssize_t count = PyTuple_GET_SIZE(entries)
    cdef PyObject *room[ROOM]
    cdef PyObject **shifted = shift(args, nargs + names_in(kwnames), room) if methods else NULL
    cdef PyObject *entry
    cdef PyObject *function
    cdef PyObject *owner
    cdef PyObject *result
    cdef int flags
    cdef int outcome
    cdef bint called
    cdef list failures = errors
    if methods and shifted is NULL:
        already_raised()
    try:
        for i in range(count):
            entry = <PyObject *>PyTuple_GET_ITEM(entries, i)  # the tuple keeps it alive
            if not (<Entry>entry)._take(&function, &owner):
                continue
            flags = CYE_FLAGS((<Entry>entry)._flags)
            if owner is not NULL:
                shifted[1] = owner
            if flags == 0:
                if owner is NULL:
                    result = PyObject_Vectorcall(function, args, nargs, kwnames)
                else:
                    result = PyObject_Vectorcall(function, shifted + 1, (nargs + 1) | CYE_OFFSET, kwnames)
            else:
                called = False
                try:
                    called = call_flagged(
                        self, entry, flags, function, owner, args, shifted, nargs, kwnames, pending, results, &result
                    )
                finally:
                    if not called:
                        release(function, owner)
                if not called:
                    continue
            if result is cye_none():
                Py_DECREF(<object>result)
                release(function, owner)
                continue
            if result is not NULL and result is not cye_false() and cye_is_value(result):
                outcome = PyList_Append(<PyObject *>results, result)
                Py_DECREF(<object>result)
                release(function, owner)
                if outcome:
                    already_raised()
                continue
            try:
                if failures is None and result is not cye_false():
                    failures = []
                if not take_unusual(self, result, function, owner, args[0], results, failures, pending):
                    continue
                handler = whole(function, owner)
            finally:
                release(function, owner)
            Py_INCREF(handler)
            canceller[0] = <PyObject *>handler
            break
        if errors is None and failures:
            if canceller[0] is not NULL:
                Py_DECREF(<object>canceller[0])
                canceller[0] = NULL
            raise self._grouped(failures)
    finally:
        if shifted is not NULL and shifted is not room:
            PyMem_Free(shifted)
    return 0


cdef inline void release(PyObject *function, PyObject *owner) noexcept:
    Py_DECREF(<object>function)
    if owner is not NULL:
        Py_DECREF(<object>owner)


cdef bint call_flagged(
    EventCore self,
    PyObject *entry,
    int flags,
    PyObject *function,
    PyObject *owner,
    PyObject *const *args,
    PyObject **shifted,
    Py_ssize_t nargs,
    PyObject *kwnames,
    Pending pending,
    list results,
    PyObject **result,
) except -1:
    """Call an entry that is not the common one, if it is to be called: tell whether it was, and with what result."""
    if flags & ~_FOREIGN and not admit(self, <Entry>entry, flags, function, owner, args, nargs, kwnames):
        return False
    if flags & _FOREIGN and Py_EnterRecursiveCall(b" in an emission"):
        result[0] = NULL
        return True
    try:
        if flags & _WITH_EVENT or (flags & _THREAD and pending is not None):
            given = keywords(self, flags, args, nargs, kwnames)
            positionals = tuple([<object>args[i] for i in range(nargs)])
            handler = whole(function, owner)
            if flags & _THREAD and pending is not None:
                pending.add(pending.start_thread(handler, positionals, given), handler, results)
                return False
            result[0] = PyObject_Call(<PyObject *>handler, <PyObject *>positionals, <PyObject *>given)
        elif owner is NULL:
            result[0] = PyObject_Vectorcall(function, args, nargs, kwnames)
        else:
            result[0] = PyObject_Vectorcall(function, shifted + 1, (nargs + 1) | CYE_OFFSET, kwnames)
    finally:
        if flags & _FOREIGN:
            Py_LeaveRecursiveCall()
    return True


cdef inline Py_ssize_t names_in(PyObject *kwnames):
    return 0 if kwnames is NULL else PyTuple_GET_SIZE(<object>kwnames)


cdef inline PyObject **shift(PyObject *const *args, Py_ssize_t size, PyObject **room) noexcept:
    """The arguments with two places before them: in `room` if they fit, else in memory to be freed. NULL: an error."""
    cdef PyObject **shifted = room
    cdef Py_ssize_t i
    if size + 2 > ROOM:
        shifted = <PyObject **>PyMem_Malloc((size + 2) * sizeof(PyObject *))
        if shifted is NULL:
            PyErr_NoMemory()
            return NULL
    for i in range(size):
        shifted[i + 2] = args[i]
    return shifted


cdef object whole(PyObject *function, PyObject *owner):
    """The handler, given as a function, or a function and the object whose method it is."""
    return <object>function if owner is NULL else MethodType(<object>function, <object>owner)


cdef dict keywords(EventCore self, int flags, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """The keywords as a dict, for a handler that wants the event among them."""
    cdef Py_ssize_t i
    cdef dict given = {}
    for i in range(names_in(kwnames)):
        given[<object>PyTuple_GET_ITEM(<object>kwnames, i)] = <object>args[nargs + i]
    if flags & _WITH_EVENT:
        given[_EVENT] = self
    return given


cdef bint admit(
    EventCore self,
    Entry entry,
    int flags,
    PyObject *function,
    PyObject *owner,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
) except -1:
    """Whether an entry with flags is to be called, its turn having come. Spends it if it is to be called once."""
    cdef int truth
    if flags & _DEAD:
        return False
    if flags & _REPLACED and not (entry.line is not None and entry.line.stands):
        return False  # reconnecting is not disconnecting, but it has been disconnected since
    if flags & _CONDITION:
        truth = ask(<PyObject *>entry.condition, args, nargs, kwnames)
        if truth < 0:
            condition_raised(self, entry, function, owner, <object>args[0])
        if truth <= 0:
            return False
        if CYE_FLAGS(entry._flags) & _DEAD:  # the condition disconnected it
            return False
    if flags & _ONCE:
        if not entry.claim():
            return False
        _bury(entry)
        sweep()
    return True


cdef inline int ask(
    PyObject *condition, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames
) noexcept:
    """What a condition says of the sender and the keywords: positionals are not passed. -1: it has raised."""
    cdef PyObject *room[ROOM]
    cdef PyObject **array = room
    cdef PyObject *answer
    cdef bint foreign = not PyFunction_Check(condition)
    cdef int truth = -1
    if nargs > 1 and kwnames is not NULL:
        array = shift(args + nargs - 1, names_in(kwnames) + 1, room)  # the sender's place, then the keywords' values
        if array is NULL:
            return -1
        array[2] = args[0]
        args = array + 2
    if not foreign or not Py_EnterRecursiveCall(b" in a condition"):
        answer = PyObject_Vectorcall(condition, args, 1, kwnames)
        if answer is not NULL:
            truth = PyObject_IsTrue(answer)
            Py_DECREF(<object>answer)
        if foreign:
            Py_LeaveRecursiveCall()
    if array is not room:
        PyMem_Free(array)
    return truth


cdef int condition_raised(EventCore self, Entry entry, PyObject *function, PyObject *owner, sender) except -1:
    """A condition has raised: its handler is skipped, and that is told, unless it is no `Exception`."""
    if not PyErr_ExceptionMatches(<object>PyExc_Exception):
        return -1
    try:
        already_raised()
    except Exception as error:
        self._condition_failed(error, entry, whole(function, owner), sender)
    return 0


cdef int already_raised() except -1:
    """Make an exception that is set one that Cython handles."""
    return -1


cdef int failed(EventCore self, PyObject *function, PyObject *owner, sender, list failures) except -1:
    """A handler has raised: raise, collect or report it."""
    if not PyErr_ExceptionMatches(<object>PyExc_Exception):
        return -1
    try:
        already_raised()
    except Exception as error:
        if not dealt_with(self, error, function, owner, sender, failures):
            raise
    return 0


cdef bint dealt_with(EventCore self, error, PyObject *function, PyObject *owner, sender, list failures) except -1:
    """Do with an error what the event's policy says; false if it is to be raised."""
    policy = self._error_policy()
    if callable(policy):
        policy(error, whole(function, owner), self, sender)
    elif policy == "raise":
        return False
    else:
        failures.append(error)
    return True


cdef bint take_unusual(
    EventCore self,
    PyObject *result,
    PyObject *function,
    PyObject *owner,
    PyObject *emitter,
    list results,
    list failures,
    Pending pending,
) except -1:
    """Take a result, owned here, that is not just a value, or an exception if it is NULL; tell whether it cancels."""
    cdef int kind
    sender = <object>emitter
    if result is NULL:
        failed(self, function, owner, sender, failures)
        if pending is not None and len(failures) > len(pending.marks):
            pending.marks.append(len(results))
        return False
    given = <object>result
    Py_DECREF(given)
    if given is False:
        return True
    kind = AWAITABLE if PyCoro_CheckExact(result) else kind_of_result(given)
    cdef bint cancels
    if kind == GENERATOR:
        items = []
        try:
            cancels = consume_into(given, items)
        except Exception as error:
            if not dealt_with(self, error, function, owner, sender, failures):
                raise
            if pending is not None and len(failures) > len(pending.marks):
                pending.marks.append(len(results))
            return False
        results.append(items)
        return cancels
    if kind == VALUE:
        results.append(given)
    elif pending is None:
        self._schedule(given, kind, whole(function, owner), sender)
    else:
        if pending.make is not None and PyCoro_CheckExact(result):
            task = pending.make_one(given)
        else:
            task = pending.start(given, kind)
        pending.add(task, whole(function, owner), results)
    return False


def consume(generator):
    """Run a generator to its end: what it yielded, without None, and whether it returned `False`."""
    cdef list items = []
    cdef bint cancels = consume_into(generator, items)
    return items, cancels


cdef bint consume_into(generator, list items) except -1:
    cdef PyObject *result
    cdef PySendResult outcome
    while True:
        outcome = PyIter_Send(<PyObject *>generator, cye_none(), &result)
        if outcome == PYGEN_ERROR:
            already_raised()
        item = <object>result
        Py_DECREF(item)
        if outcome == PYGEN_RETURN:
            return item is False
        if item is not None:
            items.append(item)


# `EventCore.emit` and `NamespaceCore.emit`: C functions with the vectorcall signature

cdef object emit(EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    cdef PyObject *canceller = NULL
    cdef Snapshot snapshot
    cdef list results
    if nargs == 0 or (kwnames is not NULL and named_sender(kwnames) >= 0):
        return emit_sender_by_keyword(self, args, nargs, kwnames)
    snapshot = None if self._filtered else self._any.load()
    if snapshot is None:
        snapshot = self._snapshot_for(<object>args[0])
    results = []
    if not PyTuple_GET_SIZE(snapshot.entries):
        return results
    run(self, snapshot.entries, snapshot.methods, args, nargs, kwnames, results, None, None, &canceller)
    if canceller is NULL:
        return results
    handler = <object>canceller
    Py_DECREF(handler)
    return Cancelled(results, handler, self)


cdef inline Py_ssize_t named_sender(PyObject *kwnames):
    """Where among the keywords the sender is; -1 if it is not."""
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(<object>kwnames)):
        if cye_is_name(PyTuple_GET_ITEM(<object>kwnames, i), <PyObject *>_SENDER):
            return i
    return -1


cdef object emit_sender_by_keyword(EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """Emit with the sender given by keyword, or not at all: put it where `emit` expects it."""
    cdef Py_ssize_t names = names_in(kwnames)
    cdef Py_ssize_t at = -1 if kwnames is NULL else named_sender(kwnames)
    cdef PyObject *room[ROOM]
    cdef PyObject **array
    cdef tuple others = () if kwnames is NULL else <tuple>kwnames
    cdef Py_ssize_t i
    if nargs and at >= 0:
        raise TypeError("EventCore.emit() got multiple values for argument 'sender'")
    array = shift(args, names, room)
    if array is NULL:
        already_raised()
    try:
        array[1] = <PyObject *>ANY if at < 0 else args[at]
        if at >= 0:
            for i in range(at, names - 1):
                array[i + 2] = array[i + 3]
            others = others[:at] + others[at + 1:]
        return emit(self, array + 1, 1, <PyObject *>others if others else NULL)
    finally:
        if array is not room:
            PyMem_Free(array)


cdef class NamespaceCore(dict):
    """Events by name, and emission by name. `Namespace` adds what a user sees."""

    def _find(self, evt):
        """The event meant by what is not a name in here; None for an unknown name."""
        raise NotImplementedError


# The type of event that is emitted by name, which is `Event`, and its version while its `emit` is the one above.
cdef object _plain_type = None
cdef unsigned int _plain_version = 0


cdef object emit_named(NamespaceCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    global _plain_type, _plain_version
    cdef unsigned int version
    if nargs == 0:
        raise TypeError("NamespaceCore.emit() missing 1 required positional argument: 'evt'")
    if nargs > 1 and kwnames is not NULL and named_sender(kwnames) >= 0:
        raise TypeError("NamespaceCore.emit() got multiple values for argument 'sender'")
    evt = <object>args[0]
    event = (<dict>self).get(evt) if PyUnicode_CheckExact(evt) else None
    if event is None:
        event = self._find(evt)
        if event is None:
            return []
    cls = type(event)
    version = cye_version(<PyObject *>cls)  # 0: it has changed too often to tell
    if cls is not _plain_type or version != _plain_version or version == 0:
        method = cls.emit
        if method is not _emit:  # overridden, or replaced by a test
            positionals = [<object>args[i] for i in range(1, nargs)]
            return method(event, *positionals, **keywords(None, 0, args, nargs, kwnames))
        if _plain_type is None:
            _plain_type = cls
        if cls is _plain_type:
            _plain_version = version
    return emit(<EventCore>event, args + 1, nargs - 1, kwnames)


cdef PyMethodDef _emit_definition
_emit_definition.ml_name = b"emit"
_emit_definition.ml_meth = <void *>emit
_emit_definition.ml_flags = METH_FASTCALL | METH_KEYWORDS
_emit_definition.ml_doc = b"""emit($self, /, sender=cyevents._common.SHOWN_ANY, *args, **kwargs)
--

Call the handlers now, in order of priority, and return what they returned.

Positionals and keywords reach every handler unchanged, after the sender. Async handlers are
scheduled and contribute nothing; a generator contributes one list of what it yielded; `None`
is dropped. A handler that returns `False` cancels: the rest is not called, and the list is
then a `Cancelled`.

Args:
    sender: who emits; handlers connected for another sender are not called.
    *args: positionals for the handlers.
    **kwargs: keywords for the handlers, of any names.

Returns:
    A new list of results, in the order in which the handlers ran.

Raises:
    Exception: what a handler raised, as it is, where `on_error` says no other.
    ExceptionGroup: of all that handlers raised, with `on_error="group"`.
    ValueError: for a pattern, which cannot be emitted.

Thread-safe, and takes no lock. Handlers may emit, connect and disconnect; an emission calls
the handlers that were connected when it began, less those disconnected or dead by their turn.

Example:
    >>> from cyevents import Event
    >>> saved = Event("saved")
    >>> @saved.connect
    ... def report(sender, **kwargs):
    ...     return f"{sender} saved"
    >>> saved.emit("draft")
    ['draft saved']
"""

cdef PyMethodDef _emit_named_definition
_emit_named_definition.ml_name = b"emit"
_emit_named_definition.ml_meth = <void *>emit_named
_emit_named_definition.ml_flags = METH_FASTCALL | METH_KEYWORDS
_emit_named_definition.ml_doc = b"""emit($self, evt, /, sender=cyevents._common.SHOWN_ANY, *args, **kwargs)
--

Emit an event given by name or as such: see `Event.emit`.

A name that nobody has made an event of is heard by nobody: the list is empty, and no event is made.

Args:
    evt: the event's name, or the `Event`.
    sender: who emits.
    *args: positionals for the handlers.
    **kwargs: keywords for the handlers, of any names.

Returns:
    A new list of the handlers' results, in the order in which they ran.

Raises:
    TypeError: if `evt` is neither.
    ValueError: if it is a pattern, which cannot be emitted.

Thread-safe and re-entrant, as `Event.emit` is.

Example:
    >>> from cyevents import Namespace
    >>> shop = Namespace()
    >>> @shop.on("order.placed")
    ... def confirm(sender, *, total):
    ...     return f"{sender}: {total}"
    >>> shop.emit("order.placed", "ada", total=12)
    ['ada: 12']
"""


cdef object install(cls, PyMethodDef *definition):
    """Put a method on an extension type, as if it had been written in it."""
    method = PyDescr_NewMethod(<PyTypeObject *>cls, definition)
    PyDict_SetItem(cye_dict(<PyObject *>cls), "emit", method)
    PyType_Modified(<PyTypeObject *>cls)
    return method


cdef object _emit = install(EventCore, &_emit_definition)
install(NamespaceCore, &_emit_named_definition)
