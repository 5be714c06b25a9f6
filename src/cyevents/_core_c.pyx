# cython: language_level=3, freethreading_compatible=True, auto_pickle=False, embedsignature.format=clinic
"""The compiled core: `_core_py.py`, name for name, with the loop over C arrays. Read that one first.

What is different here: the caller's arguments reach each handler as the very array in which they came (vectorcall),
so an emission allocates nothing but its list of results. `emit` is therefore a C function with the vectorcall
signature that is put on the class by hand, below.

On free-threaded builds an attribute that another thread may rebind is loaded and stored under a critical section
around the load or store alone: a group's `epoch` and `snapshot`. With a GIL it costs nothing.

No call from Python may crash the interpreter, whatever its arguments:

- The classes have `binding(False)`, so that the interpreter checks the type of `self`. Cython's own method objects, the
  default, do not. `embedsignature` keeps the methods' signatures.
- Parameters of an extension type are `not None`, and functions off the fast path check for None by `nonecheck`. The fast
  path checks nothing: its entries come from a snapshot, or have passed `check_entries`.
- What the core makes for itself cannot be made in Python: see `cye_forbid_new`. Fields are set before anyone can find
  the object, by `gc.get_objects()` too. An entry gets its place last: one without a place is not complete.
"""

cimport cython
from cpython.dict cimport PyDict_SetItem
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.long cimport PyLong_FromVoidPtr
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF

# C variables, since at exit the module's own names may have been cleared.
cdef object weakref, CodeType, MethodType, ANY, MISSING, Cancelled, drops_result_of, is_at_call, kind_of_result, typed_repr
cdef object is_returning, not_an_event, bind, definition_of, may_be_method, method_parts, warn_vanished_sender, lock
from _weakref import ref as weakref
from types import CodeType, MethodType

from cyevents._checks import warn_vanished_sender
from cyevents._common import ANY, MISSING, Cancelled, drops_result_of, is_at_call, is_returning
from cyevents._common import kind_of_result, not_an_event, typed_repr
from cyevents._lock import lock
from cyevents._methods import bind, definition_of, may_be_method, method_parts

cdef extern from *:
    """
    #define CYE_OFFSET PY_VECTORCALL_ARGUMENTS_OFFSET
    #ifdef Py_GIL_DISABLED
    #define CYE_GIL 0
    #else
    #define CYE_GIL 1
    #endif

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

    /* Call a Python function. What PyObject_Vectorcall does around it is not needed: it is known to be one, and
       always either returns or raises. */
    static inline PyObject *cye_call_function(
        PyObject *function, PyObject *const *args, size_t nargsf, PyObject *kwnames
    ) {
        return ((PyFunctionObject *)function)->vectorcall(function, args, nargsf, kwnames);
    }

    /* Append an item, whose reference is taken over, to a list of results to which so many more may come: PyList_Append,
       but that there is room for them at once where lists are as in CPython with its GIL. */
    static inline int cye_append(PyObject *results, PyObject *item, Py_ssize_t more) {
        int failed;
    #ifndef Py_GIL_DISABLED
        PyListObject *list = (PyListObject *)results;
        Py_ssize_t size = PyList_GET_SIZE(results);
        if (list->ob_item == NULL && (list->ob_item = PyMem_New(PyObject *, more < 64 ? more : 64)) != NULL) {
            list->allocated = more < 64 ? more : 64;
        }
        if (size < list->allocated) {
            PyList_SET_ITEM(results, size, item);
            Py_SET_SIZE(list, size + 1);
            return 0;
        }
    #endif
        failed = PyList_Append(results, item);
        Py_DECREF(item);
        return failed;
    }

    /* A pair of objects whose references are taken over; NULL, and no reference is left, if there is no memory. */
    static inline PyObject *cye_pair(PyObject *first, PyObject *second) {
        PyObject *pair = PyTuple_New(2);
        if (pair == NULL) {
            Py_DECREF(first);
            Py_DECREF(second);
            return NULL;
        }
        PyTuple_SET_ITEM(pair, 0, first);
        PyTuple_SET_ITEM(pair, 1, second);
        return pair;
    }

    static inline PyObject *cye_qualname(PyObject *function) {
        return Py_NewRef(((PyFunctionObject *)function)->func_qualname);
    }
    /* Whether an object may be a bound method, as far as that can be told at once: it can be called, is neither a
       function nor a type, and if its class is not of C, that has a `__func__`, whose name is given. */
    static inline int cye_may_be_method(PyObject *object, PyObject *func) {
        PyTypeObject *type = Py_TYPE(object);
        int has_func;
        if (type->tp_call == NULL || type == &PyFunction_Type || PyType_Check(object)) return 0;
        if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) return 1;
        has_func = PyDict_Contains(type->tp_dict, func);
        if (has_func < 0) PyErr_Clear();
        return has_func > 0;
    }

    static inline PyObject *cye_code(PyObject *function) {
        return Py_NewRef(((PyFunctionObject *)function)->func_code);
    }

    /* Whether the first parameter of a Python function is called `name`, which is interned, as all such names are. */
    static inline int cye_first_is(PyObject *function, PyObject *name) {
        PyCodeObject *code = (PyCodeObject *)((PyFunctionObject *)function)->func_code;
        return code->co_argcount > 0 && PyTuple_GET_ITEM(code->co_localsplusnames, 0) == name;
    }

    /* A dict's value for a key, or None. On free-threaded builds the value that `dict.get` finds, as Cython compiles
       it, may be freed by another thread before a reference to it is taken. */
    static inline PyObject *cye_get(PyObject *dict, PyObject *key) {
        PyObject *value;
    #if PY_VERSION_HEX >= 0x030D0000
        if (PyDict_GetItemRef(dict, key, &value) < 0) return NULL;
    #else
        value = Py_XNewRef(PyDict_GetItemWithError(dict, key));
        if (value == NULL && PyErr_Occurred()) return NULL;
    #endif
        return value ? value : Py_NewRef(Py_None);
    }

    /* An integer that another thread may set between two looks; no more than that is needed of it. */
    #if defined(Py_GIL_DISABLED) && (defined(__GNUC__) || defined(__clang__))
    #define CYE_LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    #define CYE_STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #else
    #define CYE_LOAD(place) (place)
    #define CYE_STORE(place, value) ((void)((place) = (value)))
    #endif

    /* Whether a result is a value by its type's slots: neither awaitable nor an iterator of any kind. */
    static inline int cye_is_value(PyObject *result) {
        PyTypeObject *type = Py_TYPE(result);
        PyAsyncMethods *async = type->tp_as_async;
        return type->tp_iternext == NULL && (async == NULL || (async->am_await == NULL && async->am_anext == NULL));
    }

    static inline int cye_is_finalizing(void) {
    #if PY_VERSION_HEX >= 0x030D0000
        return Py_IsFinalizing();
    #else
        return _Py_IsFinalizing();
    #endif
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

    /* Count a call in C as recursion. 3.12 and 3.13 allow a fixed number of them, for which a stack of the usual size has
       room if each takes no more of it than their own do: one of ours takes more, and counts as two. */
    #if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
    static inline int cye_enter(const char *where) {
        if (Py_EnterRecursiveCall(where)) return -1;
        if (!Py_EnterRecursiveCall(where)) return 0;
        Py_LeaveRecursiveCall();
        return -1;
    }
    static inline void cye_leave(void) {
        Py_LeaveRecursiveCall();
        Py_LeaveRecursiveCall();
    }
    #else
    #define cye_enter Py_EnterRecursiveCall
    #define cye_leave Py_LeaveRecursiveCall
    #endif

    /* The two steps of calling a type. Like a call, they refuse what cannot be called so. */
    static inline PyObject *cye_new(PyObject *type, PyObject *args) {
        if (!PyType_Check(type) || ((PyTypeObject *)type)->tp_new == NULL) {
            PyErr_SetString(PyExc_TypeError, "make must be a class of tasks");
            return NULL;
        }
        return ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, args, NULL);
    }
    static inline int cye_init(PyObject *type, PyObject *self, PyObject *args, PyObject *keywords) {
        if (!PyObject_TypeCheck(self, (PyTypeObject *)type)) return 0;
        return Py_TYPE(self)->tp_init(self, args, keywords == Py_None ? NULL : keywords);
    }

    /* Keep Python code from making instances of a type: the core would trust them, and they would have no contents. */
    static inline int cye_forbid_new(PyTypeObject *type) {
        type->tp_new = NULL;
        type->tp_vectorcall = NULL;  /* Cython's goes to its own function for making instances */
        type->tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
        if (PyDict_DelItemString(type->tp_dict, "__new__") < 0) return -1;
        PyType_Modified(type);
        return 0;
    }

    /* Take the exception that is set, and set one again, with its traceback as it is. */
    static inline PyObject *cye_take_raised(void) {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        PyErr_NormalizeException(&type, &error, &trace);
        if (trace != NULL) PyException_SetTraceback(error, trace);
        Py_XDECREF(trace);
        Py_DECREF(type);
        return error;
    #endif
    }
    static inline void cye_raise(PyObject *error) {
        PyErr_Restore(Py_NewRef(Py_TYPE(error)), Py_NewRef(error), PyException_GetTraceback(error));
    }

    static inline PyObject *cye_frame_code(PyObject *frame) {
        return (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
    }
    static inline int cye_frame_instruction(PyObject *frame) { return PyFrame_GetLasti((PyFrameObject *)frame); }

    static inline unsigned int cye_version(PyObject *type) { return CYE_LOAD(((PyTypeObject *)type)->tp_version_tag); }
    static inline PyObject *cye_dict(PyObject *type) { return Py_XNewRef(((PyTypeObject *)type)->tp_dict); }
    static inline PyObject *cye_none(void) { return Py_None; }
    static inline PyObject *cye_false(void) { return Py_False; }
    """
    size_t CYE_OFFSET
    bint CYE_GIL
    PyObject *cye_deref(PyObject *ref) noexcept
    object cye_get(dict, object key)
    long long CYE_LOAD(long long place) noexcept
    void CYE_STORE(long long place, long long value) noexcept
    PyObject *cye_call_function(
        PyObject *function, PyObject *const *args, size_t nargsf, PyObject *kwnames
    ) noexcept
    PyObject *cye_pair(PyObject *first, PyObject *second) noexcept
    int cye_append(PyObject *results, PyObject *item, Py_ssize_t more) noexcept
    str cye_qualname(PyObject *function)
    object cye_code(PyObject *function)
    bint cye_may_be_method(PyObject *object, PyObject *func) noexcept
    bint cye_first_is(PyObject *function, PyObject *name) noexcept
    bint cye_is_value(PyObject *result) noexcept
    bint cye_is_finalizing() noexcept
    bint cye_is_name(PyObject *keyword, PyObject *name) noexcept
    object cye_frame()
    object cye_take_raised()
    void cye_raise(object error) noexcept
    object cye_frame_code(PyObject *frame)
    int cye_frame_instruction(PyObject *frame) noexcept
    int cye_enter(const char *where) noexcept
    void cye_leave() noexcept
    object cye_new(object type, tuple args)
    int cye_init(object type, object self, tuple args, dict keywords) except -1
    int cye_forbid_new(PyTypeObject *type) except -1
    unsigned int cye_version(PyObject *type) noexcept
    dict cye_dict(PyObject *type)
    PyObject *cye_none() noexcept
    PyObject *cye_false() noexcept

cdef extern from "Python.h":
    ctypedef class _weakref.ReferenceType [object PyWeakReference, check_size ignore]:
        pass
    bint PyMethod_Check(PyObject *) noexcept
    PyObject *PyMethod_New(PyObject *function, PyObject *owner) noexcept
    PyObject *PyMethod_GET_FUNCTION(PyObject *) noexcept
    PyObject *PyMethod_GET_SELF(PyObject *) noexcept
    bint PyLong_CheckExact(object)
    PyObject *PyObject_Vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    PyObject *PyObject_VectorcallMethod(
        PyObject *name, PyObject *const *args, size_t nargsf, PyObject *kwnames
    ) noexcept
    int PyObject_IsTrue(PyObject *) noexcept
    PyObject *PyErr_NoMemory() noexcept
    bint PyFunction_Check(PyObject *) noexcept
    bint PyFrame_Check(object)
    void PyObject_GC_UnTrack(PyObject *) noexcept
    void PyObject_GC_Track(PyObject *) noexcept
    unsigned long PyThread_get_thread_ident() noexcept
    PyObject *PyObject_Call(PyObject *callable, PyObject *args, PyObject *kwargs) noexcept
    bint PyBool_Check(object)
    bint PyBytes_Check(object)
    bint PyLong_Check(object)
    bint PyUnicode_Check(object)
    bint PyUnicode_CheckExact(object)
    bint PyCoro_CheckExact(PyObject *) noexcept
    PyObject *item_of "PyTuple_GET_ITEM"(PyObject *tuple, Py_ssize_t i) noexcept
    Py_ssize_t size_of "PyTuple_GET_SIZE"(PyObject *tuple) noexcept
    void *PyExc_Exception
    void *PyExc_TypeError
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
    int PyList_Append(PyObject *items, PyObject *item) noexcept


# An entry's flags word. It is zero for the common handler, and looked at once per call.
cdef enum:
    _DEAD = 1  # disconnected, or spent
    _REPLACED = 2  # connected again since: to be called by the emissions that have begun, unless disconnected meanwhile
    _ONCE = 4
    _WITH_EVENT = 8
    _CONDITION = 16
    _THREAD = 32
    _BOUND = 64  # it is a method: the entry refers to its object, and has its function
    _HELD = 128  # it is held strongly
    _FOREIGN = 256  # no Python function or method: its recursion is counted here
    _OWN_CONDITION = 1024  # its condition is a method of its own object: the entry has only the function
    _SHAPE = _BOUND | _HELD
    _OPTIONS = _ONCE | _WITH_EVENT | _CONDITION | _THREAD  # what those who connect may ask for

# What keeps an event's emissions from the short way.
cdef enum:
    _FILTERED = 1  # there have been groups for senders
    _WATCHED = 2  # there is an observer
    _HIDDEN = 4  # patterns no longer notify it of changes: `_attach_patterns` must be called first

DEAD = _DEAD
REPLACED = _REPLACED
ONCE = _ONCE
WITH_EVENT = _WITH_EVENT
CONDITION = _CONDITION
THREAD = _THREAD
BOUND = _BOUND
HELD = _HELD

# What a handler returned, as in _common.
cdef enum:
    VALUE
    GENERATOR
    AWAITABLE
    ASYNC_GENERATOR

cdef enum How:
    CALLED  # and returned something uncommon, or raised
    ASKED  # its condition has raised
    FLAGGED  # it is to be looked at closely: nothing has been done

cdef struct Turn:  # an entry's, in an emission
    PyObject *function  # references are held to the function, and the owner if the handler is a method
    PyObject *owner
    PyObject *result  # owned; NULL if it has raised
    int flags
    How how

cdef enum:
    FAILED = 2  # of a handler's turn: what it has raised is set, and goes to the emitter

cdef enum:
    ROOM = 12  # arguments for which there is room on the C stack

cdef object _acquire = lock.acquire  # a with statement costs three times as much, and needs memory at its end
cdef object _release = lock.release
cdef object _is_owned = lock._is_owned
cdef object _take_away = lock._at_fork_reinit
cdef list _dead = []  # who, in which event's tables, and whether to log it
cdef Newest _newest = Newest.__new__(Newest)
cdef object _SENDER = "sender"
cdef object _ASYNC_WRAPPER = "_async_wrapper"
cdef object _SEND_SLOW = "_SignalCore__send_slow"
cdef object _EVENT = "event"
cdef object _SELF = "self"
cdef object _FUNC = "__func__"
cdef str _EMIT = "emit"
cdef str _SEND = "send"


@cython.final
cdef class Newest:
    """The newest connection of all."""

    cdef long long serial  # its number
    cdef object name  # its handler's name
    cdef object sender  # the Ref to its sender, or None: kept, for the event itself may die before the sender
    cdef unsigned long thread  # in which thread that was
    cdef long long subscribed  # the serial of the newest one that a subscription holds
    cdef object code  # that of the caller,
    cdef int instruction  # and where in it the call was


@cython.final
cdef class Place:
    """Where connections belong: in the tables of which event, and for which sender."""

    cdef object home
    cdef object key


cdef Place _make_place(home, key):
    cdef Place place = Place.__new__(Place)
    place.home = home
    place.key = key
    return place


@cython.final
cdef class Ref(ReferenceType):
    """A weak reference to a sender, or to the function of a method, that knows where it belongs."""

    cdef Place place
    cdef object handler_key  # None: it refers to a sender


@cython.nonecheck(True)
def _on_weakref_dead(what):
    """Called by the interpreter when a handler or a sender dies: in any thread, between any two instructions."""
    cdef Place place = place_of(what)
    cdef EventCore home
    cdef Entry entry = None
    cdef unsigned long thread
    if place is None:  # it is none of those that the core has made
        return
    home = place.home()
    cdef list note = [home, what, True]
    if home is not None:
        _dead.append(note)  # first: a signal handler that raises may come in between
    with cython.critical_section(_newest):
        code, instruction, name, sender = _newest.code, _newest.instruction, _newest.name, _newest.sender
        thread = _newest.thread
    frame = None
    if what is sender:
        if PyThread_get_thread_ident() == thread:  # another thread may be at the same call
            frame = user_frame()
        if frame is not None and not is_at_call(frame, code, instruction):
            frame = None
    elif home is not None and not is_sender(what):
        entry = home._entry_of(what)
        if entry is not None and entry.serial == CYE_LOAD(_newest.serial):  # has it died on the spot?
            frame = user_frame()
            if frame is not None and not drops_result_of(frame, code, instruction):
                frame = None
    note[2] = frame is None
    purge_dead()
    if frame is None:
        return
    if entry is None:
        warn_vanished_sender(name, frame)
    elif home is not None:
        home._warn_discarded_handler(entry.name, frame, entry.serial == CYE_LOAD(_newest.subscribed))


cdef int forget_newest_sender() except -1:
    """A call of `connect` begins: what the collector frees in it, at the very place of the last call, is not its own."""
    cdef object sender = None
    with cython.critical_section(_newest):
        sender, _newest.sender = _newest.sender, sender
    return 0


cdef object user_frame():
    """Return the frame of the user's code in which `_on_weakref_dead` is called, which has no frame of its own; or None."""
    frame = cye_frame()
    while frame is not None and frame.f_globals.get("__package__") == "cyevents":
        if not is_returning(frame):  # it drops no argument: the collector runs there, or another finalizer
            return None
        frame = frame.f_back
    return frame


cdef object _on_dead = _on_weakref_dead


cdef inline Place place_of(what):
    if type(what) is Entry:
        return (<Entry>what).place
    return (<Ref>what).place if type(what) is Ref else None


cdef inline bint is_sender(what) noexcept:
    """Whether this refers to a sender, and not to a handler."""
    return type(what) is Ref and (<Ref>what).handler_key is None


@cython.nonecheck(True)
cdef _bury(Entry entry):
    """Leave a note that an entry is to be taken out of its event's tables."""
    home = entry.place.home()
    if home is not None:
        _dead.append([home, entry, False])


cdef int free_lock_at_exit() except -1:
    """Take the lock away from a daemon thread that will never run again, if the interpreter is exiting."""
    if cye_is_finalizing() and not _is_owned():
        _take_away()
    return 0


cdef int take_lock() except -1:
    """Take the lock. No signal handler runs between this and the `try` that follows: this is C."""
    free_lock_at_exit()
    _acquire()
    return 0


def call_locked(function, *args):
    """Call a function while holding the lock, and return what it returns."""
    take_lock()
    try:
        return function(*args)
    finally:
        _release()


@cython.nonecheck(True)
cpdef purge_dead():
    """Take out of the tables what has died, unless another thread holds the lock: then it will, on letting go."""
    cdef list to_release = []
    cdef list never_called = []
    cdef EventCore home
    cdef Entry entry
    cdef bint is_done = True
    while _dead and is_done:
        free_lock_at_exit()
        if not _acquire(False):
            return
        try:
            while _dead:
                try:
                    home, what, lost = note = _dead.pop()
                except IndexError:  # a finalizer was faster
                    break
                try:
                    to_release.append(note)
                    home._take_out(what, lost, to_release, never_called)
                except MemoryError:
                    _dead.append(note)  # for the next one
                    is_done = False
                    break
        finally:
            _release()
        home = what = note = None
        to_release.clear()
        while never_called:
            home, entry = never_called.pop()
            home._log_never_called(entry)
            home = entry = None


cpdef object handler_key(handler):
    """What makes two handlers the same one: identity, for bound methods that of object and function."""
    cdef PyObject *given = <PyObject *>handler
    if PyFunction_Check(given):
        return PyLong_FromVoidPtr(given)
    if PyMethod_Check(given):
        return PyLong_FromVoidPtr(PyMethod_GET_SELF(given)), PyLong_FromVoidPtr(PyMethod_GET_FUNCTION(given))
    parts = method_parts(handler)
    return PyLong_FromVoidPtr(given) if parts is None else (id(parts[0]), id(parts[1]))


cdef inline object sender_key(sender):
    """What makes two senders the same one: the value of str, bytes and int (bool is none of these), else identity.

    Of a bound method it is that of its object and function.
    """
    return sender if PyUnicode_CheckExact(sender) else other_sender_key(sender)


cdef object other_sender_key(sender):
    """`sender_key` of a sender that is not a plain str."""
    if PyUnicode_Check(sender):
        return str.__str__(sender)
    if PyLong_Check(sender) and not PyBool_Check(sender):
        return int, int.__index__(sender)
    if PyBytes_Check(sender):
        return bytes, bytes.__bytes__(sender)
    if cye_may_be_method(<PyObject *>sender, <PyObject *>_FUNC) and may_be_method(type(sender)):  # a temporary, held strongly
        return handler_key(sender)
    return PyLong_FromVoidPtr(<PyObject *>sender)


@cython.final
cdef class Line:
    """What the entries of one handler and sender that have replaced each other share: whether the last one stands."""

    cdef bint stands


@cython.final
@cython.binding(False)
@cython.embedsignature(True)
@cython.trashcan(True)  # entries may hold each other: as conditions, say
cdef class Entry(ReferenceType):
    """One connection: a handler, and how and in what order it is called. Only its flags ever change.

    It is itself the weak reference to the handler or, methods being temporaries, to the method's object.
    """

    cdef int _flags
    cdef unsigned char tickets  # one, if it is to be called once
    cdef unsigned char _warned
    # Nobody is surprised when it dies: an emission has found it, or a subscription holds the handler.
    cdef unsigned char may_vanish
    # The handler, if it is held strongly; a method's function, by a Ref where that is possible; of a function that is
    # held weakly, or a partial of one, the code, which tells where it was defined; else None.
    cdef readonly object held
    cdef readonly object handler_key
    cdef Place place
    cdef readonly object priority
    cdef readonly long long serial  # when it was registered, over all events
    cdef object _condition  # see `condition`
    cdef readonly str name
    cdef Line line  # shared by the entries that have replaced each other
    cdef tuple before  # what it had replaced, once what connected it is over

    @property
    def flags(self):
        return CYE_LOAD(self._flags)

    cdef _set(self, int flags):
        """Set flags: under the lock."""
        CYE_STORE(self._flags, self._flags | flags)

    cpdef object get(self):
        """The handler, or None once it is dead."""
        cdef PyObject *function
        cdef PyObject *owner
        cdef int flags = CYE_LOAD(self._flags)
        if flags & _HELD:
            return self.held
        if not self._take(flags, &function, &owner):
            return None
        try:
            return whole(NULL, function, owner)
        finally:
            release(function, owner)

    @property
    def condition(self):
        """The condition, or None; if it is a method of the handler's own object, None once that is dead."""
        cdef PyObject *target
        if not CYE_LOAD(self._flags) & _OWN_CONDITION:
            return self._condition
        target = cye_deref(<PyObject *>self)
        if target is NULL:
            return None
        try:
            return bind(self._condition, <object>target)
        finally:
            Py_DECREF(<object>target)

    cdef inline bint _take(self, int flags, PyObject **function, PyObject **owner) noexcept:
        """Take references to the function, and the owner if the handler is a method; false if it is dead."""
        cdef PyObject *held = <PyObject *>self.held
        owner[0] = NULL
        if not flags & _SHAPE:
            function[0] = cye_deref(<PyObject *>self)
            return function[0] is not NULL
        if flags & _BOUND:
            owner[0] = cye_deref(<PyObject *>self)
            if owner[0] is NULL:
                return False
            if type(<object>held) is Ref:
                function[0] = cye_deref(held)
                if function[0] is NULL:
                    Py_DECREF(<object>owner[0])
                    return False
                return True
        elif PyMethod_Check(held):
            owner[0] = PyMethod_GET_SELF(held)
            Py_INCREF(<object>owner[0])
            held = PyMethod_GET_FUNCTION(held)
        function[0] = held
        Py_INCREF(<object>held)
        return True

    cdef die(self):
        """Be called no more, by an emission that has begun neither: under the lock."""
        self._set(_DEAD)
        if self.line is not None:
            CYE_STORE(self.line.stands, False)

    cdef bint is_method(self):
        """Whether it is called as a function and an object."""
        cdef int flags = CYE_LOAD(self._flags)
        return flags & _BOUND or (flags & _HELD and PyMethod_Check(<PyObject *>self.held))

    cpdef bint is_inactive(self) noexcept:
        """Whether it is to be called no more: reconnecting is not disconnecting, but it may have been since."""
        cdef int flags = CYE_LOAD(self._flags)
        if flags & _REPLACED and not (self.line is not None and CYE_LOAD(self.line.stands)):
            return True
        return flags & _DEAD or (flags & _ONCE and not CYE_LOAD(self.tickets))

    cdef bint claim(self):
        """Spend a `once` entry: true for one caller alone, in whatever threads they are."""
        cdef bint claimed
        with cython.critical_section(self):
            claimed = self.tickets
            CYE_STORE(self.tickets, False)
        return claimed

    def warned(self, unsigned char of=1):
        """Return whether this was asked before with the same bit. Bit 1: its condition raised."""
        cdef bint before
        with cython.critical_section(self):
            before = self._warned & of
            self._warned |= of
        return before

    @property
    def is_consumed(self):
        """Whether it was to be called once, and has been."""
        return bool(CYE_LOAD(self._flags) & _ONCE) and not CYE_LOAD(self.tickets)

    @property
    def weak(self):
        """Whether the handler is held weakly."""
        return not CYE_LOAD(self._flags) & _HELD


cdef Entry _make_entry(handler, bint weak, condition, int flags, Place place):
    """An entry for a handler, which it refers to or holds, with flags that tell how."""
    cdef Entry entry
    cdef PyObject *given = <PyObject *>handler
    cdef bint is_function = PyFunction_Check(given)
    key = handler_key(handler)
    target = handler
    function = None
    if PyMethod_Check(given):
        target = <object>PyMethod_GET_SELF(given)
        function = <object>PyMethod_GET_FUNCTION(given)
        is_function = PyFunction_Check(<PyObject *>function)
    elif not is_function and weak:
        parts = method_parts(handler)
        if parts is not None:
            target, function = parts
    if not is_function:
        flags |= _FOREIGN
    if not weak:
        entry = Entry.__new__(Entry, Entry)  # which does not die
        entry.held = handler
        entry._flags = flags | _HELD
    else:
        try:
            entry = Entry.__new__(Entry, target, _on_dead)
        except TypeError:
            raise TypeError(
                f"{typed_repr(handler)} cannot be held weakly: connect it with weak=False, and disconnect it when done"
            ) from None
        if function is not None:
            flags |= _BOUND
            entry.held = _referred(function, key, place)
        elif is_function:
            entry.held = cye_code(given)
        else:
            entry.held = definition_of(handler)
        entry._flags = flags
        if condition is not None:  # not to keep alive what is held weakly
            parts = method_parts(condition)
            if parts is not None and parts[0] is target:
                entry._flags |= _OWN_CONDITION
                condition = parts[1]
    entry._condition = condition
    entry.handler_key = key
    entry.place = place  # last: see `check_entries`
    return entry


cdef int check_entries(tuple entries) except -1:
    """Raise a `TypeError` unless all of these are complete entries, which the loop takes for granted."""
    cdef PyObject *entry
    cdef Py_ssize_t i
    for i in range(size_of(<PyObject *>entries)):
        entry = item_of(<PyObject *>entries, i)
        if type(<object>entry) is not Entry or (<Entry>entry).place is None:
            raise TypeError(f"entries must be those of connections, not {typed_repr(<object>entry)}")
    return 0


cdef tuple array_of(sender, tuple args, dict kwargs, tuple names):
    """Return the sender, the positionals and the values of the keywords with these names, which are checked."""
    cdef list values = [sender, *args]
    for name in names:
        if not PyUnicode_Check(name):
            raise TypeError("keywords must be strings")
        values.append(cye_get(kwargs, name))
    return tuple(values)  # which no other code can change


cdef object _referred(function, key, Place place):
    """A method's function, by a `Ref` where that is possible: a builtin's is not."""
    cdef Ref ref
    try:
        ref = Ref.__new__(Ref, function, _on_dead)
    except TypeError:
        return function
    ref.handler_key = key
    ref.place = place
    return ref


@cython.final
@cython.binding(False)
@cython.embedsignature(True)
cdef class Snapshot:
    """The entries that an emission runs, in order. It never changes."""

    cdef readonly tuple entries
    cdef bint methods  # whether there are methods among the handlers
    cdef long long epoch  # of the sender's group when this was built,
    cdef long long base  # and of the group of any sender
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
        cdef Py_ssize_t i
        cdef list tiers = []
        for entry in self.entries:
            if first is None or first.priority != entry.priority:
                first = entry
                tiers.append([])
            tiers[-1].append(entry)
        for i in range(len(tiers)):  # no comprehension: Cython lets go of an object twice where its list cannot grow
            tiers[i] = tuple(tiers[i])
        return tiers


# The methods of the first type of tasks that is met, which is asyncio's: looking them up costs more than the calls.
# Who meets it first in several threads alone sets them, once; they are used when all are there.
cdef bint _is_learning = False
cdef bint _has_learnt = False
cdef object _task_type = None
cdef object _done = None
cdef object _cancelled = None
cdef object _exception = None
cdef object _result = None


cdef learn(cls):
    global _is_learning, _task_type, _done, _cancelled, _exception, _result
    cdef bint claimed
    done, cancelled, exception, result = cls.done, cls.cancelled, cls.exception, cls.result
    with cython.critical_section(_newest):
        claimed = not _is_learning
        _is_learning = True
    if claimed:
        _done, _cancelled, _exception, _result, _task_type = done, cancelled, exception, result, cls
        CYE_STORE(_has_learnt, True)


@cython.binding(False)
@cython.embedsignature(True)
@cython.trashcan(True)
cdef class TaskCollector:
    """What an emission that waits for its handlers has started: its tasks, whatever these are, and whose they are."""

    cdef public object make  # a type of tasks, made of a coroutine and `keywords`; None: they are started by `start`
    cdef public dict keywords
    cdef readonly list tasks
    cdef readonly list handlers
    cdef readonly list result_slots  # where among the results theirs belong
    cdef readonly list error_positions  # how many results there were when errors were collected

    def __cinit__(self):  # it takes any arguments
        self.tasks = []
        self.handlers = []
        self.result_slots = []
        self.error_positions = []

    def __init__(self):
        pass

    def add(self, task, handler, results):
        """Take the value that a task has by now; else note it, and keep a place for its result.

        What it has raised, and whether it cancels, counts only when all are done.
        """
        self._add(task, NULL, <PyObject *>handler, NULL, results)

    cdef int _add(self, task, PyObject *entry, PyObject *function, PyObject *owner, list results) except -1:
        cdef bint has_value, is_common
        cdef Py_ssize_t count
        if not CYE_LOAD(_has_learnt):
            learn(type(task))
        is_common = CYE_LOAD(_has_learnt) and type(task) is _task_type
        if is_common:
            has_value = _done(task) is True and _cancelled(task) is False and _exception(task) is None
        else:
            has_value = task.done() and not task.cancelled() and task.exception() is None
        if has_value:
            value = _result(task) if is_common else task.result()
            if value is None:
                return 0
            if value is not False:
                results.append(value)
                return 0
        count = len(self.tasks)
        try:
            self.handlers.append(whole(entry, function, owner))
            self.result_slots.append(len(results))
            results.append(None)
            self.tasks.append(task)
        except MemoryError:
            del self.handlers[count:]
            del self.result_slots[count:]
            task.cancel()
            raise
        return 0

    def make_one(self, coroutine):
        """Make a task, in two steps: one that raises while it is made must be cleaned up."""
        return self._make_one(coroutine)

    cdef object _make_one(self, coroutine):
        cls, keywords = self.make, self.keywords
        task = cye_new(cls, ())
        try:
            cye_init(cls, task, (coroutine,), keywords)
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

    cdef Place place
    cdef object sender  # a Ref where it can be weakly referenced
    cdef dict entries  # by handler key
    cdef long long epoch  # another one after each change
    cdef Snapshot snapshot

    cdef bint means(self, sender):
        """Whether this is the very sender, and not an object that has got the id of a dead one."""
        return type(self.sender) is not Ref or self.sender() is sender

    cdef object get_sender(self):
        """The sender, or None if it is dead."""
        return self.sender() if type(self.sender) is Ref else self.sender

    cdef long long load_epoch(self) noexcept:
        cdef long long epoch
        with cython.critical_section(self):
            epoch = self.epoch
        return epoch

    cdef Snapshot load(self):
        """The snapshot, if it is not stale."""
        cdef Snapshot snapshot
        with cython.critical_section(self):
            snapshot = self.snapshot
            if snapshot is not None and snapshot.epoch != self.epoch:
                snapshot = None
        return snapshot

    cdef Snapshot store(self, Snapshot snapshot):
        """Put a snapshot, or None, in place of the one there is, which is returned."""
        cdef Snapshot old
        with cython.critical_section(self):
            old = self.snapshot
            self.snapshot = snapshot
        return old

    cdef bint has_snapshot(self) noexcept:
        cdef bint has
        with cython.critical_section(self):
            has = self.snapshot is not None
        return has

    cdef void change(self) noexcept:
        """Make the snapshot stale."""
        with cython.critical_section(self):
            self.epoch += 1


cdef Group _make_group(Place place, sender):
    cdef Group group = Group.__new__(Group)
    group.place = place
    group.sender = sender
    group.entries = {}
    return group


cdef inline PyObject *fresh(PyObject *group) noexcept:
    """A group's snapshot as a new reference, or NULL if it is stale: `load`, with nothing counted in vain."""
    cdef PyObject *found
    if CYE_GIL:
        found = <PyObject *>(<Group>group).snapshot
        if found is cye_none() or (<Snapshot>found).epoch != (<Group>group).epoch:
            return NULL
        Py_INCREF(<object>found)
        return found
    snapshot = (<Group>group).load()
    if snapshot is None:
        return NULL
    Py_INCREF(snapshot)
    return <PyObject *>snapshot


def _by_serial(Entry entry not None):
    return entry.serial


def _by_priority(Entry entry not None):
    return entry.priority


cdef list _in_order(entries):
    """Higher priority first, equal priorities in order of registration."""
    cdef list ordered = sorted(entries, key=_by_serial)
    ordered.sort(key=_by_priority, reverse=True)  # a reversed sort is stable too
    return ordered


@cython.binding(False)
@cython.embedsignature(True)
@cython.nonecheck(True)
@cython.trashcan(True)
cdef class EventCore:
    """An event's tables and its emission. `Event` adds what a user sees."""

    cdef Group _any
    cdef int _detours  # _FILTERED and _WATCHED
    cdef dict _groups  # by sender key
    cdef dict _warm  # those of the groups that have a snapshot
    cdef readonly dict _patterns  # the patterns that match this event, by their id
    cdef dict _matched_events  # a pattern's events, by
    cdef object _key  # their id
    cdef readonly dict _mutes  # what is muted, as keys of handlers, None being the whole event; by whom
    cdef readonly list _dead_handler_names  # names of handlers that died, to be logged
    cdef object _watcher  # what makes the emissions in its stead, by `emit` and `send`; or None: see `_observe`
    cdef object _self
    cdef bint _has_check
    cdef bint _was_used
    cdef object __weakref__

    def __cinit__(self):  # it takes any arguments
        PyObject_GC_UnTrack(<PyObject *>self)  # nobody must find it, or a reference to it, before it is complete
        self._any = _make_group(_make_place(None, ANY), ANY)
        self._groups = {}
        self._warm = {}
        self._patterns = {}
        self._matched_events = {}
        self._mutes = {}
        self._dead_handler_names = []
        self._key = PyLong_FromVoidPtr(<PyObject *>self)
        self._self = self._any.place.home = weakref(self)
        PyObject_GC_Track(<PyObject *>self)

    def __init__(self):
        pass

    @property
    def _is_checked(self):
        """Whether `_add` is to look at what a handler takes."""
        return bool(CYE_LOAD(self._has_check))

    @_is_checked.setter
    def _is_checked(self, bint is_checked):
        CYE_STORE(self._has_check, is_checked)

    @property
    def _is_used(self):
        """Whether it was emitted by name since its namespace's cache was last cleaned."""
        return bool(CYE_LOAD(self._was_used))

    @_is_used.setter
    def _is_used(self, bint is_used):
        CYE_STORE(self._was_used, is_used)

    # Emission: `emit` itself stands below, with the other C functions.

    def _dispatch(
        self,
        tuple entries not None,
        sender,
        tuple args not None,
        dict kwargs not None,
        list results not None,
        list errors,
        TaskCollector pending,
        watch=None,
    ):
        """Call entries in order, filling `results` and, where errors are grouped, `errors`.

        What is awaited, or is to run in a thread, is started and added to `pending`; without that, the
        one is scheduled and the other runs in place.

        A `watch` follows each entry. `watch.call(entry, handler)` returns what is called in place of the handler,
        with the same arguments. `watch.skip(entry, handler)` is called if the handler is not; it is None if dead.

        Returns the handler that cancelled, or None.
        """
        cdef tuple names = tuple(kwargs)
        cdef tuple values = array_of(sender, args, kwargs, names)  # keeps alive what the array refers to
        cdef PyObject *room[ROOM]
        cdef PyObject **array = as_array(values, room)
        cdef PyObject *canceller = NULL
        cdef Turn turn
        try:
            check_entries(entries)
            run_on(
                self, entries, 0, &turn, False, array, 1 + len(args), <PyObject *>names if names else NULL,
                results, errors, pending, NULL if watch is None else <PyObject *>watch, &canceller,
            )
            if canceller is NULL:
                return None
            handler = <object>canceller
            Py_DECREF(handler)
            return handler
        finally:
            if array is not room:
                PyMem_Free(array)

    def _pairs(self, tuple entries not None, sender, tuple args not None, dict kwargs not None, watch=None):
        """Call entries in order, and return pairs of each handler and what it returned. For `watch` see `_dispatch`."""
        cdef tuple names = tuple(kwargs)
        cdef tuple values = array_of(sender, args, kwargs, names)  # keeps alive what the array refers to
        cdef PyObject *room[ROOM]
        cdef PyObject **array = as_array(values, room)
        cdef list pairs = []
        try:
            check_entries(entries)
            send_to(
                self, <PyObject *>entries, array, 1 + len(args), <PyObject *>names if names else NULL,
                NULL if watch is None else <PyObject *>watch, pairs,
            )
        finally:
            if array is not room:
                PyMem_Free(array)
        return pairs

    # Snapshots

    def _snapshot(self, sender):
        """What an emission by this sender runs."""
        return self._snapshot_for(sender)

    @cython.nonecheck(False)
    cdef Snapshot _snapshot_for(self, sender):
        cdef Group group
        cdef Snapshot snapshot
        cdef int tries
        for tries in range(100):  # other threads may evict it again; without end only if its hook does nothing
            group = None
            if CYE_LOAD(self._detours) & _FILTERED:
                group = cye_get(self._groups, sender_key(sender))
            if not CYE_LOAD(self._detours) & _HIDDEN:  # looked at after the groups, which `_hide` removes
                break
            self._attach_patterns([])
        if group is not None and group.means(sender):
            snapshot = group.load()
            if snapshot is None or snapshot.base != self._any.load_epoch():
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
        cdef long long epoch, base
        if self._dead_handler_names:
            self._log_dead_handlers()
        if self._patterns:
            for source in list(self._patterns.values()):
                if source._dead_handler_names:
                    source._log_dead_handlers()
        epoch, base = group.load_epoch(), self._any.load_epoch()
        for entry in self._candidates(group, sender):
            if entry.get() is not None and not entry.is_consumed:
                entry.may_vanish = True
                chosen[entry.handler_key] = entry
            else:  # its callback had no stack left to run on, or has just begun to; or the emission that spent it
                _bury(entry)
        snapshot = Snapshot.__new__(Snapshot)
        snapshot.entries = tuple(_in_order(chosen.values()))
        for entry in snapshot.entries:
            snapshot.methods |= entry.is_method()
        snapshot.epoch = epoch
        snapshot.base = base
        group.store(snapshot)
        if group is not self._any:
            key = group.place.key
            self._warm[key] = group
            if cye_get(self._groups, key) is not group:
                self._warm.pop(key, None)
        if group.load_epoch() != epoch or self._any.load_epoch() != base or CYE_LOAD(self._detours) & _HIDDEN:
            group.store(None)  # not to keep alive what has just been disconnected, or will be without notice
        if _dead:
            purge_dead()
        return snapshot

    cdef list _candidates(self, Group group, sender):
        """All entries for a sender that are not muted, the most specific last, so that it wins."""
        cdef EventCore source
        cdef Group other
        cdef Entry entry
        cdef set muted = None
        cdef list candidates = []
        if self._mutes:
            muted = self._muted_keys()
            if None in muted:
                return []
        if self._patterns:
            general, special = [], []
            for source in list(self._patterns.values()):
                general += source._audible(source._any)
                if group is not self._any:
                    other = cye_get(source._groups, group.place.key)
                    if other is not None and other.means(sender):
                        special += source._audible(other)
            candidates = sorted(general, key=_by_serial) + sorted(special, key=_by_serial)
        candidates += list(self._any.entries.values())
        if group is not self._any:
            candidates += list(group.entries.values())
        if muted is not None:
            candidates = [entry for entry in candidates if entry.handler_key not in muted]
        return candidates

    cdef list _audible(self, Group group):
        """A group's entries, less what this pattern has muted."""
        cdef Entry entry
        cdef list entries = list(group.entries.values())
        cdef set muted
        if not self._mutes:
            return entries
        muted = self._muted_keys()
        if None in muted:
            return []
        return [entry for entry in entries if entry.handler_key not in muted]

    cdef set _muted_keys(self):
        """Return the keys of the handlers that are muted; None among them stands for the whole event."""
        cdef set muted = set()
        for keys in list(self._mutes.values()):
            muted.update(keys)
        return muted

    # Changes: each under the lock, with a list for what is to be let go after it.

    @cython.binding(True)  # a method of its type has a signature with its defaults, and is one to other dispatchers
    def connect(
        self,
        receiver=MISSING,
        sender=ANY,
        weak=True,
        priority=0,
        condition=None,
        *,
        once=False,
        with_event=False,
        thread=False,
    ):
        """Connect a handler, to be called as `receiver(sender, *args, **kwargs)` when the event is emitted.

        A handler is connected at most once for a sender: connecting it again replaces the options and
        counts as a new registration.

        Args:
            receiver: the handler: a function, method or other callable, sync, async or a generator. Without
                it, `connect` returns a decorator: `@event.connect(priority=5)`.
            sender: only this sender's emissions; `ANY` for all. Senders are compared by identity
                (two equal tuples are two senders), except `str`, `bytes` and `int`, which are compared by
                value. They are held weakly where that is possible.
            weak: do not keep the handler alive; for a method, its object.
            priority: higher is called earlier; equal ones in order of registration.
            condition: called as `condition(sender, **kwargs)` when the handler's turn comes; a false answer
                or an exception skips the handler. Exceptions are logged, or go to a callable `on_error`.
            once: disconnect when about to be called the first time.
            with_event: pass the event that fired as the keyword `event`.
            thread: in `emit_async`, run a sync handler in a thread. `emit` runs it in place.

        Returns:
            The receiver, so that `connect` serves as a decorator.

        Raises:
            TypeError: if the receiver or the condition is not callable, the condition is a coroutine
                function, the priority not an int, a flag not a bool, or the receiver cannot be held weakly;
                with `check=True` of the event, if the receiver or the condition cannot take what it declares.

        Warns:
            RuntimeWarning: if the receiver or the sender dies at once, as a lambda does that nothing else
                holds, the receiver is a function with a first parameter `self`, or the decorator is discarded.

        Thread-safe. A running emission does not see the change.
        """
        cdef PyObject *function = <PyObject *>receiver
        cdef int flags
        if not isinstance(self, EventCore):  # with `binding(True)` nobody has asked
            raise not_an_event(self, "connect")
        forget_newest_sender()
        if PyMethod_Check(function):
            function = PyMethod_GET_FUNCTION(function)
        if (
            PyFunction_Check(function)
            and condition is None
            and PyLong_CheckExact(priority)
            and (weak is True or weak is False)
            and (once is True or once is False)
            and (with_event is True or with_event is False)
            and thread is False
            and not CYE_LOAD(self._has_check)
            and (function is not <PyObject *>receiver or not cye_first_is(function, <PyObject *>_SELF))
        ):
            flags = (_ONCE if once is True else 0) | (_WITH_EVENT if with_event is True else 0)
            self._enter(
                receiver, sender, weak is True, priority, None, flags, cye_qualname(function), cye_frame(), NULL, None
            )
        elif receiver is MISSING:
            return self._decorator(sender, weak, priority, condition, once, with_event, thread, cye_frame())
        else:
            self._add(receiver, sender, weak, priority, condition, once, with_event, thread, cye_frame())
        return receiver

    def _connect(
        self, handler, sender, bint weak, priority, condition, int flags, str name not None, frame, list made=None
    ):
        """Connect, in place of the handler's connection for the same sender if there is one; return both entries.

        Both are put into `made` before the connection is made, for callers that must undo it when they are interrupted.
        """
        cdef PyObject *previous = NULL
        if flags & ~_OPTIONS:
            raise TypeError(f"flags must be made up of ONCE, WITH_EVENT, CONDITION and THREAD, not {flags}")
        if frame is not None and not PyFrame_Check(frame):
            raise TypeError(f"frame must be a frame or None, not {typed_repr(frame)}")
        entry = self._enter(handler, sender, weak, priority, condition, flags, name, frame, &previous, made)
        replaced = None
        if previous is not NULL:
            replaced = <object>previous
            Py_DECREF(replaced)
        return entry, replaced

    cdef Entry _enter(
        self,
        handler,
        sender,
        bint weak,
        priority,
        condition,
        int flags,
        str name,
        frame,
        PyObject **replaced,
        list made,
    ):
        """`_connect`, which hands over the replaced entry, if there is one, where it is asked for."""
        cdef int instruction = 0
        cdef Entry previous
        cdef Group group
        cdef Place place = self._place(ANY if sender is ANY else sender_key(sender))
        cdef Entry entry = _make_entry(handler, weak, condition, flags, place)
        entry.priority = priority
        entry.name = name
        entry.tickets = bool(flags & _ONCE)
        code = newest_sender = None
        if frame is not None:
            code = cye_frame_code(<PyObject *>frame)
            instruction = cye_frame_instruction(<PyObject *>frame)
        cdef list to_release = []
        take_lock()
        try:
            with cython.critical_section(_newest):
                _newest.code, code = code, _newest.code
                _newest.instruction = instruction
                CYE_STORE(_newest.serial, _newest.serial + 1)
            entry.serial = _newest.serial
            if made is not None:
                made.append(entry)
            previous = self._put(entry, sender, to_release, made)
            if place.key is not ANY:
                group = cye_get(self._groups, place.key)
                if group is not None and type(group.sender) is Ref:
                    newest_sender = group.sender
            with cython.critical_section(_newest):
                _newest.name, name = name, _newest.name
                _newest.thread = PyThread_get_thread_ident()
                _newest.sender, newest_sender = newest_sender, _newest.sender  # the old one is let go of after the lock
        finally:
            _release()
        if _dead:
            purge_dead()
        if replaced is not NULL and previous is not None:
            Py_INCREF(previous)
            replaced[0] = <PyObject *>previous
        return entry

    cdef Entry _put(self, Entry entry, sender, list to_release, list made):
        """Enter an entry in its group; return the one that it replaces."""
        key = entry.place.key
        cdef EventCore dependent
        cdef Group group
        cdef Entry previous
        if CYE_LOAD(self._detours) & _HIDDEN:
            self._attach_patterns(to_release)
        try:
            if self._matched_events:
                for dependent in list(self._matched_events.values()):
                    dependent._follow(key, sender, to_release)
            while True:
                group = self._any if key is ANY else self._group_for(entry.place, sender, to_release)
                previous = cye_get(group.entries, entry.handler_key)
                if previous is not None:
                    if previous.line is None:
                        previous.line = Line.__new__(Line)  # before the flag is set, and never another one
                    entry.line = previous.line
                    entry.may_vanish |= previous.may_vanish
                if made is not None:
                    made[1:] = [previous]
                # In one step: an emission that begins now finds one of the two.
                group.entries[entry.handler_key] = entry
                if self._group_of(key) is group:  # and was not tidied away by a finalizer
                    break
        except BaseException:
            if key is not ANY:
                self._tidy(key, to_release)
            raise
        if previous is not None:
            previous._set(_REPLACED)
        if entry.line is not None:
            CYE_STORE(entry.line.stands, True)
        self._invalidate(group, to_release)
        if self._matched_events:
            for dependent in list(self._matched_events.values()):  # those of a finalizer too
                dependent._follow(key, sender, to_release)
        return previous

    cdef Place _place(self, key):
        cdef Group group = self._group_of(key)
        return _make_place(self._self, key) if group is None else group.place

    cdef Group _group_of(self, key):
        return self._any if key is ANY else cye_get(self._groups, key)

    cdef Entry _entry_of(self, what):
        """The entry that stands in the tables and refers to its handler by this."""
        cdef Group group = self._group_of(place_of(what).key)
        cdef Entry entry
        if group is None:
            return None
        entry = cye_get(group.entries, (<Entry>what).handler_key if type(what) is Entry else (<Ref>what).handler_key)
        return entry if entry is not None and (entry is what or entry.held is what) else None

    cdef Group _group_for(self, Place place, sender, list to_release):
        """The group of a sender, made if need be."""
        cdef Ref ref
        key = place.key
        cdef Group group = cye_get(self._groups, key)
        if group is not None:
            if group.means(sender):
                return group
            self._discard_group(group, to_release)  # a dead sender had this one's id
        group = _make_group(place, sender)
        if isinstance(key, int):  # by identity: held weakly if possible
            try:
                ref = Ref.__new__(Ref, sender, _on_dead)
            except TypeError:
                pass
            else:
                ref.place = place
                group.sender = ref
        CYE_STORE(self._detours, self._detours | _FILTERED)
        return self._groups.setdefault(key, group)

    cdef _discard_group(self, Group group, list to_release):
        cdef Entry entry
        cdef list entries = list(group.entries.values())
        to_release.append(entries)
        to_release.append(None)
        key = group.place.key
        if cye_get(self._groups, key) is group:
            del self._groups[key]
        self._warm.pop(key, None)
        for entry in entries:
            entry.die()
        group.entries.clear()
        to_release[-1] = group.store(None)

    cdef _tidy(self, key, list to_release):
        """Forget the group of a sender for which nothing is connected any more, here or by a pattern."""
        cdef EventCore dependent
        self._tidy_own(key, to_release)
        for dependent in list(self._matched_events.values()):  # which have none themselves
            dependent._tidy_own(key, to_release)

    cdef _tidy_own(self, key, list to_release):
        cdef EventCore source
        cdef Group group = cye_get(self._groups, key)
        if group is not None and not group.entries:
            for source in list(self._patterns.values()):
                if key in source._groups:
                    break
            else:
                self._discard_group(group, to_release)

    cdef _invalidate(self, Group group, list to_release):
        """Make the snapshots stale that have to do with a group, for which no memory is needed; and let go of them."""
        cdef EventCore dependent
        cdef Group other
        group.change()
        if self._matched_events:
            for dependent in self._matched_events.values():
                other = dependent._any if group is self._any else cye_get(dependent._groups, group.place.key)
                if other is not None:
                    other.change()
        try:
            self._let_go(group, to_release)
            if self._matched_events:
                for dependent in list(self._matched_events.values()):
                    other = dependent._any if group is self._any else cye_get(dependent._groups, group.place.key)
                    if other is not None:
                        dependent._let_go(other, to_release)
        except MemoryError:  # they are stale, and replaced when next needed
            pass

    cdef _let_go(self, Group group, list to_release):
        """Let go of the snapshots that have to do with a group."""
        cdef Group other
        if group.has_snapshot():
            to_release.append(None)
            to_release[-1] = group.store(None)
        if group is self._any and self._warm:
            for other in list(self._warm.values()):
                to_release.append(None)
                to_release[-1] = other.store(None)
            self._warm.clear()

    cdef bint _remove(self, Entry entry, list to_release):
        """Disconnect an entry, if it still stands."""
        cdef Group group = self._group_of(entry.place.key)
        if group is None or cye_get(group.entries, entry.handler_key) is not entry:
            return False
        to_release.append(entry)
        del group.entries[entry.handler_key]
        entry.die()
        self._invalidate(group, to_release)
        if group is not self._any:
            self._tidy(group.place.key, to_release)
        return True

    cdef _take_out(self, what, bint lost, list to_release, list never_called):
        """Remove what has died: a spent entry, that of a dead handler, or all those for a dead sender."""
        cdef Group group
        cdef Entry entry
        if is_sender(what):
            group = self._group_of((<Ref>what).place.key)
            if group is not None and group.sender is what:
                self._discard_group(group, to_release)
            return
        entry = self._entry_of(what)
        if entry is None or not self._remove(entry, to_release) or not lost:
            return
        if type(entry.held) is CodeType and not entry.may_vanish:
            never_called.append((self, entry))
        elif len(self._dead_handler_names) < 100:
            self._dead_handler_names.append(entry.name)

    def _disconnect_entry(self, Entry entry not None):
        """Remove this very connection; return whether it still stood."""
        cdef list to_release = []
        cdef bint removed = False
        take_lock()
        try:
            removed = self._remove(entry, to_release)
        finally:
            _release()
        if _dead:
            purge_dead()
        return removed

    def _disconnect(self, handler, sender):
        """Remove a handler's connection for a sender, or all its connections if that is ANY."""
        cdef Group group
        cdef Entry entry
        key = handler_key(handler)
        cdef list to_release = []
        cdef bint removed = False
        take_lock()
        try:
            if sender is ANY:
                groups = [self._any, *self._groups.values()]
            else:
                group = cye_get(self._groups, sender_key(sender))
                groups = [group] if group is not None and group.means(sender) else []
            for group in groups:
                entry = cye_get(group.entries, key)
                if entry is not None and _is_alive(entry, to_release):
                    removed |= self._remove(entry, to_release)
        finally:
            _release()
        if _dead:
            purge_dead()
        return removed

    def _clear(self):
        """Remove all connections."""
        cdef Group group
        cdef Entry entry
        cdef list to_release = []
        take_lock()
        try:
            for group in [self._any, *self._groups.values()]:
                for entry in list(group.entries.values()):
                    self._remove(entry, to_release)
        finally:
            _release()
        if _dead:
            purge_dead()

    def _restore(self, Entry entry not None, Entry previous, sender):
        """Undo a `_connect`: put back the entry that it replaced, unless someone changed the connection since."""
        cdef Group group
        cdef Entry current
        cdef list to_release = []
        if entry.place is None or (previous is not None and previous.place is None):
            raise TypeError("entry and previous must be those of connections")
        take_lock()
        try:
            group = self._group_of(entry.place.key)
            current = None if group is None else cye_get(group.entries, entry.handler_key)
            if current is entry or (current is None and entry.is_consumed and not CYE_LOAD(entry._flags) & _REPLACED):
                previous = _still_meant(previous)
                if previous is not None and not previous.is_consumed and _is_alive(previous, to_release):
                    to_release.append(entry)
                    self._put(previous, sender, to_release, None)  # a reconnection, for emissions that have begun
                    CYE_STORE(previous._flags, previous._flags & ~_REPLACED)
                else:
                    self._remove(entry, to_release)
            else:
                previous = _still_meant(previous)
                entry.before = (None if previous is entry else previous,)  # in a circle there would be no last one
        finally:
            _release()
        if _dead:
            purge_dead()

    def _mute(self, by, list keys not None):
        """Mute handlers, or the whole event by the key None, until `_unmute` is called with the same object."""
        cdef list to_release = []
        take_lock()
        try:
            if CYE_LOAD(self._detours) & _HIDDEN:
                self._attach_patterns(to_release)
            self._set_mute(by, keys, to_release)
        finally:
            _release()
        if _dead:
            purge_dead()

    def _set_mute(self, by, list keys not None, list to_release not None):
        """Do what `_mute` does, under the lock, whether or not patterns are attached."""
        self._mutes[by] = keys
        self._invalidate(self._any, to_release)

    def _unmute(self, by):
        """Undo `_mute`, if it has been done."""
        cdef list to_release = []
        take_lock()
        try:
            to_release.append(None)
            to_release[-1] = self._mutes.pop(by, None)
            self._invalidate(self._any, to_release)
        finally:
            _release()
        if _dead:
            purge_dead()

    # Observation

    def _observe(self, observer):
        """Have the emissions that begin from now on made by an observer, or, with None, by this event again.

        It is asked as `observer.emit(event, sender, args, kwargs)`, and `send` likewise, and makes them with the help
        of `_snapshot`, and `_dispatch` or `_pairs` with a `watch`.
        """
        take_lock()
        try:
            if observer is None:
                CYE_STORE(self._detours, self._detours & ~_WATCHED)
            is_watched = observer is not None
            with cython.critical_section(self):
                self._watcher, observer = observer, self._watcher  # the old one is let go of after the lock
            if is_watched:
                CYE_STORE(self._detours, self._detours | _WATCHED)
        finally:
            _release()

    @property
    def _observer(self):
        return self._load_observer()

    cdef object _load_observer(self):
        cdef object observer
        with cython.critical_section(self):
            observer = self._watcher
        return observer

    # Patterns

    def _attach(self, EventCore source not None, list to_release not None):
        """Let the handlers of a pattern hear this event too. Called under the lock."""
        cdef Group group
        source._matched_events[self._key] = self
        self._patterns[source._key] = source
        self._invalidate(self._any, to_release)
        for group in list(source._groups.values()):
            sender = group.get_sender()
            to_release.append(sender)
            if sender is not None or group.place.key == id(None):
                self._follow(group.place.key, sender, to_release)

    def _detach(self, EventCore source not None, list to_release not None):
        """Undo `_attach`, half of one too. Called under the lock."""
        to_release.append(self._patterns.pop(source._key, None))
        to_release.append(source._matched_events.pop(self._key, None))
        self._invalidate(self._any, to_release)
        for key in list(source._groups):
            self._tidy(key, to_release)

    def _hide(self, list to_release not None):
        """Let patterns notify this event of changes no more, until `_attach` is called for each. Under the lock.

        It goes on with its patterns: an emission that has begun still finds their handlers. But nothing of it holds a
        handler or a sender of theirs, of whose removal it would not be notified.
        """
        cdef EventCore source
        cdef Group group
        CYE_STORE(self._detours, self._detours | _HIDDEN)
        for source in list(self._patterns.values()):
            to_release.append(source._matched_events.pop(self._key, None))
        self._invalidate(self._any, to_release)
        for group in list(self._groups.values()):
            if not group.entries:
                self._discard_group(group, to_release)

    def _show(self):
        """Undo `_hide`, once the patterns are attached again. Under the lock."""
        CYE_STORE(self._detours, self._detours & ~_HIDDEN)

    def _is_hidden(self):
        """Return whether `_hide` was called, and not `_show` since."""
        return bool(CYE_LOAD(self._detours) & _HIDDEN)

    def _has_state(self, mutes):
        """Whether there are connections, for any sender or for some, or it is muted by other than these."""
        if self._is_connected():
            return True
        for by in list(self._mutes):
            if by not in mutes:
                return True
        return False

    cdef _follow(self, key, sender, list to_release):
        """Have a group for a sender that a pattern has one for, so that its emissions find it."""
        if key is not ANY:
            self._invalidate(self._group_for(self._place(key), sender, to_release), to_release)

    # Introspection

    def _connections(self):
        """All entries in dispatch order, each with its sender and the event, or pattern, that it is connected to."""
        cdef EventCore source
        cdef Group group
        cdef Entry entry
        cdef list entries = []
        cdef list ordered = []
        cdef dict rows = {}
        if CYE_LOAD(self._detours) & _HIDDEN:
            self._attach_patterns([])
        for source in [*list(self._patterns.values()), self]:
            for group in [source._any, *list(source._groups.values())]:
                sender = group.get_sender()
                if sender is None and group.place.key != id(None):
                    continue  # it is dead, and there was no memory or no stack to note it
                for entry in list(group.entries.values()):
                    rows[entry.serial] = entry, sender, source
        for row in rows.values():  # no comprehensions: see `_parted`
            entries.append(row[0])
        for entry in _in_order(entries):
            ordered.append(rows[entry.serial])
        return ordered

    def _is_connected(self):
        """Whether there are connections, for any sender or for some."""
        cdef Group group
        if self._any.entries:
            return True
        for group in list(self._groups.values()):
            if group.entries:
                return True
        return False

    def _has_live_handlers(self, sender):
        """Whether an emission by this sender would find a handler."""
        cdef Entry entry
        for entry in self._snapshot_for(sender).entries:
            if entry.get() is not None and not CYE_LOAD(entry._flags) & _DEAD and not entry.is_consumed:
                return True
        return False

    def _has_connection(self, handler, sender):
        """Return whether a handler is connected for a sender, or, if that is ANY, at all. Patterns do not count."""
        cdef Group group
        key = handler_key(handler)
        if sender is not ANY:
            group = cye_get(self._groups, sender_key(sender))
            return group is not None and group.means(sender) and _is_live(group, cye_get(group.entries, key))
        for group in [self._any, *list(self._groups.values())]:
            if _is_live(group, cye_get(group.entries, key)):
                return True
        return False

    def _has_entry(self, Entry entry not None):
        """Return whether this very connection exists, its handler and sender are alive, and it is not spent."""
        cdef Group group = None if entry.place is None else self._group_of(entry.place.key)
        if group is None or cye_get(group.entries, entry.handler_key) is not entry:
            return False
        return _is_live(group, entry)

    # Hooks: what the shell adds.

    def _add(self, receiver, sender, weak, priority, condition, once, with_event, thread, frame):
        """Check what is to be connected, and `_connect` it on behalf of the caller whose frame that is."""
        raise NotImplementedError

    def _decorator(self, sender, weak, priority, condition, once, with_event, thread, frame):
        """Return a decorator that connects what it decorates."""
        raise NotImplementedError

    def _attach_patterns(self, list to_release):
        """Attach the patterns that match, which may have changed, and call `_show`. Called under the lock or not."""
        raise NotImplementedError

    def _schedule(self, result, kind, handler, sender, entry):
        """See to it that what an async handler returned is awaited."""
        raise NotImplementedError

    def _error_policy(self):
        """What is done with an `Exception` of a handler: "raise", "group" or a callable."""
        return "raise"

    def _make_exception_group(self, errors):
        """The one exception for several."""
        raise NotImplementedError

    def _call_failed(self, error, handler, count, names, is_consumed):
        """Add a note to the error of a handler's call, if the arguments (a count and keywords) did not fit.

        Returns a coroutine that raises the error if the handler is async and the result would be awaited, else None.
        """

    def _condition_failed(self, error, entry, handler, sender, names):
        """A condition, called with these keywords, raised, and its handler is skipped."""

    def _warn_discarded_handler(self, name, frame, is_subscription):
        """A handler has died on the spot, or the subscription that held it was discarded there."""

    def _log_never_called(self, entry):
        """A function has died before any emission could have called it."""

    def _log_dead_handlers(self):
        """Handlers named in `_dead_handler_names` have died since the last snapshot."""


@cython.nonecheck(True)
cdef Entry _still_meant(Entry entry):
    """An entry that was replaced for a time, or what it had replaced itself, if its own time is over meanwhile."""
    while entry is not None and entry.before is not None:
        entry = entry.before[0]
    return entry


@cython.nonecheck(True)
cdef bint _is_alive(Entry entry, list to_release) except -1:
    """Whether an entry's handler is; asked under the lock, where the last reference to it must not be let go."""
    handler = entry.get()
    to_release.append(handler)
    return handler is not None


def expect_death(Entry entry not None):
    """Note that a subscription holds an entry's handler: when it is discarded, the handler dies."""
    entry.may_vanish = True
    if entry.serial == CYE_LOAD(_newest.serial):
        CYE_STORE(_newest.subscribed, entry.serial)


@cython.nonecheck(True)
cdef bint _is_live(Group group, Entry entry) except -1:
    """Return whether an entry of a group can still be called: handler and sender alive, not spent. None cannot."""
    if entry is None or entry.is_consumed or entry.get() is None:
        return False
    return group.get_sender() is not None or group.place.key == id(None)


# The loop

cdef Py_ssize_t run_common(
    PyObject *entries,
    Py_ssize_t i,
    PyObject *const *args,
    PyObject **shifted,
    Py_ssize_t nargs,
    PyObject *kwnames,
    PyObject *results,
    Turn *turn,
) noexcept:
    """Call entries from the i-th on, while they have no uncommon flags and return values or None.

    Returns the index of the first that is uncommon, with what is known of it in `turn`; the number of entries if none.
    """
    cdef PyObject *entry
    cdef PyObject *function
    cdef PyObject *owner
    cdef PyObject *result
    cdef int flags
    cdef int truth
    cdef Py_ssize_t count = size_of(entries)
    turn.how = CALLED
    while i < count:
        entry = item_of(entries, i)  # the tuple keeps it alive
        flags = CYE_LOAD((<Entry>entry)._flags)
        if flags == 0:
            owner = NULL
            function = cye_deref(entry)
            if function is NULL:
                i += 1
                continue
        elif flags & ~(_SHAPE | _CONDITION):
            turn.how = FLAGGED
            turn.flags = flags
            return i
        else:
            if not (<Entry>entry)._take(flags, &function, &owner):
                i += 1
                continue
            if flags & _CONDITION:
                truth = ask(<PyObject *>(<Entry>entry)._condition, args, nargs, kwnames)
                if truth < 0:
                    turn.how = ASKED
                    turn.function = function
                    turn.owner = owner
                    return i
                if truth == 0 or (
                    CYE_LOAD((<Entry>entry)._flags) != flags and (<Entry>entry).is_inactive()  # by the condition
                ):
                    release(function, owner)
                    i += 1
                    continue
        if owner is NULL:
            result = cye_call_function(function, args, nargs, kwnames)
        else:
            shifted[1] = owner
            result = cye_call_function(function, shifted + 1, (nargs + 1) | CYE_OFFSET, kwnames)
        if result is cye_none():
            Py_DECREF(<object>result)
        elif result is NULL or result is cye_false() or not cye_is_value(result):
            turn.function = function
            turn.owner = owner
            turn.result = result
            return i
        elif cye_append(results, result, count - i):
            turn.function = function
            turn.owner = owner
            turn.result = NULL
            return i
        release(function, owner)
        i += 1
    return count


# By a pointer, so that the compiler does not merge it with what follows: its loop is short of registers as it is.
cdef Py_ssize_t (*_run_common)(
    PyObject *, Py_ssize_t, PyObject *const *, PyObject **, Py_ssize_t, PyObject *, PyObject *, Turn *
) noexcept
_run_common = run_common


cdef int run_on(
    EventCore self,
    tuple entries,
    Py_ssize_t i,
    Turn *turn,
    bint has_come,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    list results,
    list errors,
    TaskCollector pending,
    PyObject *watch,
    PyObject **canceller,
) except -1:
    """Call entries from the i-th on, whose turn `has_come` if something uncommon is known of it.

    Without a list for them, grouped errors are raised at the end. A `watch`, if there is one, follows each entry: see
    `EventCore._dispatch`.
    """
    cdef Py_ssize_t count = size_of(<PyObject *>entries)
    cdef PyObject *room[ROOM]
    cdef PyObject **shifted = shift(args, nargs + names_in(kwnames), room)
    cdef list failures = errors
    cdef int cancels
    if shifted is NULL:
        if has_come and turn.how != FLAGGED:
            release(turn.function, turn.owner)
        already_raised()
    try:
        while True:
            if watch is not NULL:
                if i == count:
                    break
                turn.how = CALLED
                i += 1
                if not call_observed(
                    self, <Entry>item_of(<PyObject *>entries, i - 1), watch, args, nargs, kwnames, pending, results, turn
                ):
                    continue
            else:
                if not has_come:
                    i = _run_common(
                        <PyObject *>entries, i, args, shifted, nargs, kwnames, <PyObject *>results, turn
                    )
                    if i == count:
                        break
                has_come = False
                i += 1
                if turn.how == FLAGGED and not call_flagged(
                    self, item_of(<PyObject *>entries, i - 1), args, shifted, nargs, kwnames, pending, results, turn
                ):
                    continue
            try:
                if turn.how == ASKED:
                    condition_raised(self, entries[i - 1], turn.function, turn.owner, <object>args[0], kwnames)
                    cancels = False
                elif turn.result is NULL:
                    if failures is None:
                        failures = []
                    cancels = take_failed_call(
                        self, item_of(<PyObject *>entries, i - 1), turn, args, nargs, kwnames, results, failures, pending
                    )
                    if cancels == FAILED:
                        return -1
                elif cye_is_value(turn.result):
                    value = <object>turn.result
                    Py_DECREF(value)
                    cancels = value is False
                    if not cancels and value is not None:
                        results.append(value)
                else:
                    if failures is None and not is_coroutine(turn.result):
                        failures = []
                    cancels = take_unusual(
                        self, item_of(<PyObject *>entries, i - 1), turn, args[0], results, failures, pending
                    )
                    if cancels == FAILED:
                        return -1
                if cancels:
                    handler = whole(item_of(<PyObject *>entries, i - 1), turn.function, turn.owner)
                    Py_INCREF(handler)
                    canceller[0] = <PyObject *>handler
                    break
            finally:
                release(turn.function, turn.owner)
        if errors is None and failures:
            if canceller[0] is not NULL:
                Py_DECREF(<object>canceller[0])
                canceller[0] = NULL
            raise self._make_exception_group(failures)
    finally:
        if shifted is not room:
            PyMem_Free(shifted)
    return 0


cdef inline bint is_coroutine(PyObject *result) noexcept:
    return result is not NULL and PyCoro_CheckExact(result)


cdef inline void release(PyObject *function, PyObject *owner) noexcept:
    Py_DECREF(<object>function)
    if owner is not NULL:
        Py_DECREF(<object>owner)


cdef bint call_flagged(
    EventCore self,
    PyObject *entry,
    PyObject *const *args,
    PyObject **shifted,
    Py_ssize_t nargs,
    PyObject *kwnames,
    TaskCollector pending,
    list results,
    Turn *turn,
) except -1:
    """Call an entry that is not a common one, if it is to be called: tell whether it was, with what result in `turn`."""
    cdef int flags = turn.flags
    cdef bint called = False
    if not (<Entry>entry)._take(flags, &turn.function, &turn.owner):
        return False
    if turn.owner is not NULL:
        shifted[1] = turn.owner
    try:
        if flags & ~(_FOREIGN | _SHAPE) and not admit(
            self, <Entry>entry, flags, turn.function, turn.owner, args, nargs, kwnames
        ):
            return False
        if flags & _FOREIGN and cye_enter(b" in an emission"):
            turn.result = NULL
            called = True
            return True
        try:
            if flags & _WITH_EVENT or (flags & _THREAD and pending is not None):
                given = keywords(self, flags, args, nargs, kwnames)
                positionals = tuple([<object>args[i] for i in range(nargs)])
                handler = whole(entry, turn.function, turn.owner)
                if flags & _THREAD and pending is not None:
                    task = pending.start_thread(handler, positionals, given)
                    pending._add(task, entry, turn.function, turn.owner, results)
                    return False
                turn.result = PyObject_Call(<PyObject *>handler, <PyObject *>positionals, <PyObject *>given)
            elif turn.owner is NULL:
                turn.result = PyObject_Vectorcall(turn.function, args, nargs, kwnames)
            else:
                turn.result = PyObject_Vectorcall(turn.function, shifted + 1, (nargs + 1) | CYE_OFFSET, kwnames)
            called = True
        finally:
            if flags & _FOREIGN:
                cye_leave()
    finally:
        if not called:
            release(turn.function, turn.owner)
    return True


cdef bint call_observed(
    EventCore self,
    Entry entry,
    PyObject *watcher,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    TaskCollector pending,
    list results,
    Turn *turn,
) except -1:
    """`call_flagged` with a `watch`: see `EventCore._dispatch`."""
    cdef int flags = CYE_LOAD(entry._flags)
    cdef bint called = False
    watch = <object>watcher
    if not entry._take(flags, &turn.function, &turn.owner):
        watch.skip(entry, None)
        return False
    try:
        handler = whole(<PyObject *>entry, turn.function, turn.owner)
        if flags & ~(_FOREIGN | _SHAPE) and not admit(
            self, entry, flags, turn.function, turn.owner, args, nargs, kwnames
        ):
            watch.skip(entry, handler)
            return False
        given = keywords(self, flags, args, nargs, kwnames)
        positionals = tuple([<object>args[i] for i in range(nargs)])
        call = watch.call(entry, handler)
        if flags & _THREAD and pending is not None:
            task = pending.start_thread(call, positionals, given)
            pending._add(task, <PyObject *>entry, turn.function, turn.owner, results)
            return False
        turn.result = PyObject_Call(<PyObject *>call, <PyObject *>positionals, <PyObject *>given)
        called = True
    finally:
        if not called:
            release(turn.function, turn.owner)
    return True


cdef inline Py_ssize_t names_in(PyObject *kwnames) noexcept:
    return 0 if kwnames is NULL else size_of(kwnames)


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


cdef PyObject **as_array(tuple values, PyObject **room) except NULL:
    """The values, which the tuple keeps alive: in `room` if they fit, else in memory to be freed."""
    cdef Py_ssize_t i
    cdef PyObject **array = room
    if len(values) > ROOM:
        array = <PyObject **>PyMem_Malloc(len(values) * sizeof(PyObject *))
        if array is NULL:
            raise MemoryError
    for i in range(len(values)):
        array[i] = item_of(<PyObject *>values, i)
    return array


cdef object whole(PyObject *entry, PyObject *function, PyObject *owner):
    """The handler, given as a function, or a function and the object whose method it is.

    If its entry is given and holds the handler strongly, it is that very object.
    """
    if entry is not NULL and CYE_LOAD((<Entry>entry)._flags) & _HELD:
        return (<Entry>entry).held
    if owner is NULL:
        return <object>function
    if PyFunction_Check(function):
        return MethodType(<object>function, <object>owner)
    return bind(<object>function, <object>owner)


cdef inline PyObject *bound(PyObject *entry, int flags, PyObject *function, PyObject *owner) except NULL:
    """`whole` of a method, as a new reference."""
    cdef PyObject *method
    if PyFunction_Check(function) and not flags & _HELD:
        method = PyMethod_New(function, owner)
        if method is NULL:
            already_raised()
        return method
    handler = whole(entry, function, owner)
    Py_INCREF(handler)
    return <PyObject *>handler


cdef dict keywords(EventCore self, int flags, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """The keywords as a dict, for a handler that wants the event among them."""
    cdef Py_ssize_t i
    cdef dict given = {}
    for i in range(names_in(kwnames)):
        given[<object>item_of(kwnames, i)] = <object>args[nargs + i]
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
    if entry.is_inactive():
        return False
    if flags & _CONDITION:
        condition = entry._condition
        if flags & _OWN_CONDITION:
            condition = bind(condition, <object>(function if owner is NULL else owner))
        truth = ask(<PyObject *>condition, args, nargs, kwnames)
        if truth < 0:
            condition_raised(self, entry, function, owner, <object>args[0], kwnames)
        if truth <= 0:
            return False
        if entry.is_inactive():  # the condition disconnected it
            return False
    if flags & _ONCE:
        if not entry.claim():
            return False
        _bury(entry)
        purge_dead()
    return True


cdef inline int ask(
    PyObject *condition, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames
) noexcept:
    """What a condition says of the sender and the keywords: positionals are not passed. -1: it has raised."""
    cdef PyObject *answer
    cdef int truth
    if not PyFunction_Check(condition) or (nargs > 1 and kwnames is not NULL):
        return ask_otherwise(condition, args, nargs, kwnames)
    answer = cye_call_function(condition, args, 1, kwnames)
    if answer is NULL:
        return -1
    truth = PyObject_IsTrue(answer)
    Py_DECREF(<object>answer)
    return truth


cdef int ask_otherwise(
    PyObject *condition, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames
) noexcept:
    """`ask` what is no Python function, and counts no recursion, or where positionals are in between."""
    cdef PyObject *room[ROOM]
    cdef PyObject **array = room
    cdef PyObject *answer
    cdef int truth = -1
    if nargs > 1 and kwnames is not NULL:
        array = shift(args + nargs - 1, names_in(kwnames) + 1, room)  # the sender's place, then the keywords' values
        if array is NULL:
            return -1
        array[2] = args[0]
        args = array + 2
    if not cye_enter(b" in a condition"):
        answer = PyObject_Vectorcall(condition, args, 1, kwnames)
        if answer is not NULL:
            truth = PyObject_IsTrue(answer)
            Py_DECREF(<object>answer)
        cye_leave()
    if array is not room:
        PyMem_Free(array)
    return truth


cdef int condition_raised(
    EventCore self, Entry entry, PyObject *function, PyObject *owner, sender, PyObject *kwnames
) except -1:
    """A condition has raised: its handler is skipped, and that is told, unless it is no `Exception`."""
    if not PyErr_ExceptionMatches(<object>PyExc_Exception):
        return -1
    try:
        already_raised()
    except Exception as error:
        names = () if kwnames is NULL else <object>kwnames
        self._condition_failed(error, entry, whole(<PyObject *>entry, function, owner), sender, names)
    return 0


cdef int already_raised() except -1:
    """Make an exception that is set one that Cython handles."""
    return -1


cdef bint failed(EventCore self, PyObject *entry, Turn *turn, sender, list failures) except -1:
    """A handler has raised: collect or report that; false if it is to be raised, and set as it was.

    Who gets false returns -1, so that the traceback leads from the emission to the handler's line, and not through here.
    """
    if not PyErr_ExceptionMatches(<object>PyExc_Exception):
        return False
    cdef bint is_told, is_raised
    error = cye_take_raised()
    if cye_enter(b" in an error policy"):  # it may be another event's `emit`, whose handler raises too, and so on
        PyErr_Clear()
        cye_raise(error)
        return False
    try:
        policy = self._error_policy()
        is_told = callable(policy)
        is_raised = not is_told and policy == "raise"
        cye_raise(error)
        if is_raised:
            return False
        try:
            already_raised()
        except Exception as error:
            if is_told:
                policy(error, whole(entry, turn.function, turn.owner), self, sender)
            else:
                failures.append(error)
    finally:
        cye_leave()
    return True


cdef object note_call(
    EventCore self,
    PyObject *entry,
    Turn *turn,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    bint is_consumed,
):
    """Return what the hook `_call_failed` returns for the `TypeError` that is set. If that is None, it is set again."""
    cdef int flags = CYE_LOAD((<Entry>entry)._flags)
    error = cye_take_raised()
    names = keywords(self, flags, args, nargs, kwnames)
    result = self._call_failed(error, whole(entry, turn.function, turn.owner), nargs - 1, names, is_consumed)
    if result is None or not is_consumed:  # then nobody takes the result
        cye_raise(error)
    return result


cdef int take_failed_call(
    EventCore self,
    PyObject *entry,
    Turn *turn,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    list results,
    list failures,
    TaskCollector pending,
) except -1:
    """Take the exception of a handler's call: see `failed`. For an async handler it may become what is awaited."""
    if PyErr_ExceptionMatches(<object>PyExc_TypeError):
        failing = note_call(self, entry, turn, args, nargs, kwnames, True)
        if failing is not None:
            Py_INCREF(failing)
            turn.result = <PyObject *>failing
            return take_unusual(self, entry, turn, args[0], results, failures, pending)
    return take_failure(self, entry, turn, <object>args[0], results, failures, pending)


cdef int take_unusual(
    EventCore self,
    PyObject *entry,
    Turn *turn,
    PyObject *emitter,
    list results,
    list failures,
    TaskCollector pending,
) except -1:
    """Take what a handler returned that may be more than a value; tell whether it cancels, or failed."""
    cdef int kind
    cdef int cancels
    cdef PyObject *result = turn.result
    cdef PyObject *function = turn.function
    cdef PyObject *owner = turn.owner
    sender = <object>emitter
    given = <object>result
    Py_DECREF(given)
    kind = AWAITABLE if PyCoro_CheckExact(result) else kind_of_result(given)
    if kind == GENERATOR:
        items = []
        cancels = consume_into(result, <PyObject *>items)
        if cancels < 0:
            return take_failure(self, entry, turn, sender, results, failures, pending)
        results.append(items)
        return cancels
    if kind == VALUE:
        results.append(given)
    elif pending is None:
        self._schedule(given, kind, whole(entry, function, owner), sender, <object>entry)
    else:
        if pending.make is not None and PyCoro_CheckExact(result):
            task = pending._make_one(given)
        else:
            task = pending.start(given, kind)
        pending._add(task, entry, function, owner, results)
    return False


cdef int take_failure(
    EventCore self, PyObject *entry, Turn *turn, sender, list results, list failures, TaskCollector pending
) except -1:
    """Take a handler's exception: see `failed`."""
    if not failed(self, entry, turn, sender, failures):
        return FAILED
    if pending is not None and len(failures) > len(pending.error_positions):
        pending.error_positions.append(len(results))
    return False


def consume(generator):
    """Run a generator to its end: what it yielded, without None, and whether it returned `False`."""
    cdef list items = []
    cdef int cancels = consume_into(<PyObject *>generator, <PyObject *>items)
    if cancels < 0:
        already_raised()
    return items, bool(cancels)


cdef int consume_into(PyObject *generator, PyObject *items) noexcept:
    """Put what a generator yields into a list; tell whether it returned `False`. -1: it has raised."""
    cdef PyObject *item
    cdef PySendResult outcome
    cdef int status = 0
    while status == 0:
        outcome = PyIter_Send(generator, cye_none(), &item)
        if outcome == PYGEN_ERROR:
            return -1
        if outcome == PYGEN_RETURN:
            status = item is cye_false()
            Py_DECREF(<object>item)
            return status
        if item is not cye_none():
            status = PyList_Append(items, item)
        Py_DECREF(<object>item)
    return status


cdef int send_to(
    EventCore self,
    PyObject *entries,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    PyObject *watch,
    list pairs,
) except -1:
    """Call entries in order, and append pairs of each handler and what it returned: see `EventCore._pairs`."""
    cdef PyObject *entry
    cdef PyObject *handler
    cdef PyObject *pair
    cdef PyObject *room[ROOM]
    cdef PyObject **shifted = shift(args, nargs + names_in(kwnames), room)
    cdef Py_ssize_t i
    cdef Py_ssize_t count = size_of(entries)
    cdef Turn turn
    cdef list failures = None
    if shifted is NULL:
        already_raised()
    try:
        for i in range(count):
            entry = item_of(entries, i)
            turn.flags = CYE_LOAD((<Entry>entry)._flags)
            if watch is not NULL:
                if not call_observed(self, <Entry>entry, watch, args, nargs, kwnames, None, pairs, &turn):
                    continue
            elif turn.flags & ~_SHAPE:
                if not call_flagged(self, entry, args, shifted, nargs, kwnames, None, pairs, &turn):
                    continue
            elif not (<Entry>entry)._take(turn.flags, &turn.function, &turn.owner):
                continue
            elif turn.owner is NULL:
                turn.result = cye_call_function(turn.function, args, nargs, kwnames)
            else:
                shifted[1] = turn.owner
                turn.result = cye_call_function(turn.function, shifted + 1, (nargs + 1) | CYE_OFFSET, kwnames)
            if turn.result is NULL:
                if failures is None:
                    failures = []
                try:
                    if PyErr_ExceptionMatches(<object>PyExc_TypeError):
                        note_call(self, entry, &turn, args, nargs, kwnames, False)
                    if not failed(self, entry, &turn, <object>args[0], failures):
                        return -1
                finally:
                    release(turn.function, turn.owner)
                continue
            handler = turn.function
            if turn.owner is not NULL:
                try:
                    handler = bound(entry, turn.flags, turn.function, turn.owner)
                except BaseException:
                    Py_DECREF(<object>turn.result)
                    raise
                finally:
                    release(turn.function, turn.owner)
            pair = cye_pair(handler, turn.result)
            if pair is NULL or cye_append(<PyObject *>pairs, pair, count - i):
                already_raised()
        if failures:
            raise self._make_exception_group(failures)
    finally:
        if shifted is not room:
            PyMem_Free(shifted)
    return 0


# `emit` and `send` of `EventCore`, `send` of `SignalCore`, `emit` of `NamespaceCore`: with the vectorcall signature

cdef object emit(EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    cdef PyObject *canceller = NULL
    cdef PyObject *found = NULL
    cdef PyObject *entries
    cdef Turn turn
    cdef Py_ssize_t i = 0
    cdef bint methods
    cdef list results
    if nargs == 0 or (kwnames is not NULL and named_sender(kwnames) >= 0):
        return with_sender(emit, b"emit", self, args, nargs, kwnames)
    if not CYE_LOAD(self._detours):
        found = fresh(<PyObject *>self._any)
    elif CYE_LOAD(self._detours) & _WATCHED:
        return made_by_observer(self, _EMIT, args, nargs, kwnames)
    if found is NULL:
        found = snapshot_for(self, args[0])
    try:
        results = []
        entries = <PyObject *>(<Snapshot>found).entries
        methods = (<Snapshot>found).methods
        if not methods:
            i = _run_common(entries, 0, args, NULL, nargs, kwnames, <PyObject *>results, &turn)
        if methods or i < size_of(entries):
            run_on(
                self, <tuple>entries, i, &turn, not methods, args, nargs, kwnames, results, None, None, NULL, &canceller
            )
    finally:
        Py_DECREF(<object>found)
    if canceller is NULL:
        return results
    handler = <object>canceller
    Py_DECREF(handler)
    return Cancelled(results, handler, self)


cdef object send(EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    if nargs == 0 or (kwnames is not NULL and named_sender(kwnames) >= 0):
        return with_sender(send, b"send", self, args, nargs, kwnames)
    return pairs_of(self, args, nargs, kwnames)


cdef object pairs_of(EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """What `send` returns: `EventCore._sent`."""
    cdef PyObject *found = NULL
    cdef list pairs
    if not CYE_LOAD(self._detours):
        found = fresh(<PyObject *>self._any)
    elif CYE_LOAD(self._detours) & _WATCHED:
        return made_by_observer(self, _SEND, args, nargs, kwnames)
    if found is NULL:
        found = snapshot_for(self, args[0])
    try:
        pairs = []
        send_to(self, <PyObject *>(<Snapshot>found).entries, args, nargs, kwnames, NULL, pairs)
    finally:
        Py_DECREF(<object>found)
    return pairs


cdef object made_by_observer(EventCore self, str way, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """What an observed event's `emit` or `send` returns: its observer makes the emission."""
    observer = self._load_observer()
    given = keywords(None, 0, args, nargs, kwnames)
    positionals = tuple([<object>args[i] for i in range(1, nargs)])
    if observer is None:  # it has just been taken back
        entries = self._snapshot_for(<object>args[0]).entries
        if way is _SEND:
            return self._pairs(entries, <object>args[0], positionals, given)
        results = []
        canceller = self._dispatch(entries, <object>args[0], positionals, given, results, None, None)
        return results if canceller is None else Cancelled(results, canceller, self)
    return getattr(observer, way)(self, <object>args[0], positionals, given)


cdef PyObject *snapshot_for(EventCore self, PyObject *sender) except NULL:
    """`EventCore._snapshot_for`, as a new reference that nothing else counts."""
    snapshot = self._snapshot_for(<object>sender)
    Py_INCREF(snapshot)
    return <PyObject *>snapshot


cdef inline Py_ssize_t where(PyObject *kwnames, PyObject *name) noexcept:
    """Where among the keywords that of a name is; -1 if it is not."""
    cdef Py_ssize_t i
    for i in range(size_of(kwnames)):
        if cye_is_name(item_of(kwnames, i), name):
            return i
    return -1


cdef inline Py_ssize_t named_sender(PyObject *kwnames) noexcept:
    return where(kwnames, <PyObject *>_SENDER)


cdef object with_sender(
    object (*call)(EventCore, PyObject *const *, Py_ssize_t, PyObject *),
    const char *name,
    EventCore self,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
):
    """Call `emit` or `send` with the sender given by keyword, or not at all: put it where they expect it."""
    cdef Py_ssize_t at = -1 if kwnames is NULL else named_sender(kwnames)
    if nargs and at >= 0:
        raise TypeError(f"EventCore.{name.decode()}() got multiple values for argument 'sender'")
    return rearranged(call, self, <PyObject *>ANY if at < 0 else args[at], args, nargs, kwnames, at)


cdef object rearranged(
    object (*call)(EventCore, PyObject *const *, Py_ssize_t, PyObject *),
    EventCore self,
    PyObject *first,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    Py_ssize_t at,
):
    """Call with another first positional, if not NULL, before the others, and without the keyword `at`, if not -1."""
    cdef Py_ssize_t names = names_in(kwnames)
    cdef PyObject *room[ROOM]
    cdef PyObject **array = shift(args, nargs + names, room)
    cdef PyObject **given = array + 2
    cdef tuple others = () if kwnames is NULL else <tuple>kwnames
    cdef Py_ssize_t i
    if array is NULL:
        already_raised()
    try:
        if at >= 0:
            for i in range(nargs + at, nargs + names - 1):
                given[i] = given[i + 1]
            others = others[:at] + others[at + 1:]
        if first is not NULL:
            given -= 1
            given[0] = first
            nargs += 1
        return call(self, given, nargs, <PyObject *>others if others else NULL)
    finally:
        if array is not room:
            PyMem_Free(array)


@cython.no_gc_clear  # `send` relies on the core; clearing the core breaks the cycles that a signal is part of
@cython.binding(False)
@cython.embedsignature(True)
@cython.trashcan(True)
cdef class SignalCore:
    """A blinker signal's `send`, over the `EventCore` that it holds. `Signal` adds what a user sees.

    A signal has a core instead of being one, so that its subclasses may use any names that a core uses for themselves.
    What `Signal` needs of this class has the names that a class `SignalCore` written in Python gives to `__names`.
    """

    cdef EventCore core
    cdef bint is_fast_send_used  # false without a core: an object is found by the garbage collector while it is made
    cdef object __weakref__

    def __cinit__(self, core, /):
        if not isinstance(core, EventCore):
            raise TypeError(f"core must be an EventCore, not {typed_repr(core)}")
        self.core = core
        self.is_fast_send_used = True

    @property
    def _SignalCore__core(self):
        """The tables of the signal's connections."""
        return self.core

    @property
    def _SignalCore__uses_python_send(self):
        """Whether `send` calls `_SignalCore__send_slow` for every send."""
        return not CYE_LOAD(self.is_fast_send_used)

    @_SignalCore__uses_python_send.setter
    def _SignalCore__uses_python_send(self, bint uses_python_send):
        CYE_STORE(self.is_fast_send_used, not uses_python_send and self.core is not None)

    def _SignalCore__send_slow(self, /, *args, **kwargs):
        """Hook: send what `send` leaves to Python code."""
        raise NotImplementedError


cdef object send_signal(SignalCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    cdef PyObject *core = <PyObject *>self.core  # held by the signal: no need to count references
    cdef Py_ssize_t at
    if nargs > 1 or not CYE_LOAD(self.is_fast_send_used):
        return send_slow(self, args, nargs, kwnames)
    at = -1 if kwnames is NULL else where(kwnames, <PyObject *>_ASYNC_WRAPPER)
    if nargs == 0 or at >= 0:
        return rearranged(pairs_of, <EventCore>core, cye_none() if nargs == 0 else NULL, args, nargs, kwnames, at)
    return pairs_of(<EventCore>core, args, nargs, kwnames)


cdef object send_slow(SignalCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """Call the signal's `_SignalCore__send_slow` with the same arguments."""
    cdef PyObject *room[ROOM]
    cdef PyObject **array = shift(args, nargs + names_in(kwnames), room)
    cdef PyObject *returned
    if array is NULL:
        already_raised()
    array[1] = <PyObject *>self
    returned = PyObject_VectorcallMethod(<PyObject *>_SEND_SLOW, array + 1, (nargs + 1) | CYE_OFFSET, kwnames)
    if array is not room:
        PyMem_Free(array)
    if returned is NULL:
        already_raised()
    pairs = <object>returned
    Py_DECREF(pairs)
    return pairs


@cython.binding(False)
@cython.embedsignature(True)
cdef class NamespaceCore(dict):
    """Events by name, and emission by name. `Namespace` adds what a user sees."""

    cdef readonly dict _cached  # events of names that nobody made, which patterns or observers hear

    def __cinit__(self):  # it takes any arguments
        self._cached = {}

    def _find(self, evt):
        """The event meant by what is not a name in here; None for an unknown name."""
        raise NotImplementedError


# The version, which no two types share, of the type of event that was last emitted by name, which is `Event`, if its
# `emit` is the one above.
cdef unsigned int _plain_version = 0


cdef object emit_named(NamespaceCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    cdef unsigned int version
    if nargs == 0:
        raise TypeError("NamespaceCore.emit() missing 1 required positional argument: 'evt'")
    if nargs > 1 and kwnames is not NULL and named_sender(kwnames) >= 0:
        raise TypeError("NamespaceCore.emit() got multiple values for argument 'sender'")
    evt = <object>args[0]
    event = cye_get(<dict>self, evt) if PyUnicode_CheckExact(evt) else None
    if event is None and self._cached and PyUnicode_CheckExact(evt):
        event = cye_get(self._cached, evt)
        if isinstance(event, EventCore):
            CYE_STORE((<EventCore>event)._was_used, True)
    if event is None:
        event = self._find(evt)
        if event is None:
            return []
    cls = type(event)
    version = cye_version(<PyObject *>cls)  # 0: it has changed too often to tell
    if version != CYE_LOAD(_plain_version) or version == 0:
        is_event = issubclass(cls, EventCore)  # else it is a mock, say
        method = cls.emit if is_event else event.emit
        if method is not _emit or not is_event:  # overridden, or replaced by a test
            given = keywords(None, 0, args, nargs, kwnames)
            positionals = [<object>args[i] for i in range(1, nargs)] or [given.pop(_SENDER, ANY)]
            return method(event, *positionals, **given) if is_event else method(*positionals, **given)
        CYE_STORE(_plain_version, version)
    return emit(<EventCore>event, args + 1, nargs - 1, kwnames)


for _class in (Newest, Place, Ref, Line, Entry, Snapshot, Group):
    cye_forbid_new(<PyTypeObject *>_class)
del _class

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

cdef PyMethodDef _send_definition
_send_definition.ml_name = b"send"
_send_definition.ml_meth = <void *>send
_send_definition.ml_flags = METH_FASTCALL | METH_KEYWORDS
_send_definition.ml_doc = b"""send($self, /, sender=cyevents._common.SHOWN_ANY, *args, **kwargs)
--

Call the handlers now, and return pairs of each and what it returned, whatever that is.

Unlike `emit`, it drops no `None`, consumes no generator, schedules and awaits nothing, and no handler
cancels: the values are just as the calls returned them. Order, senders, conditions and `on_error` hold
as in `emit`.

Args:
    sender: who emits; handlers connected for another sender are not called.
    *args: positionals for the handlers.
    **kwargs: keywords for the handlers, of any names.

Returns:
    A new list of pairs `(handler, value)`, in the order in which the handlers ran.

Raises:
    Exception: what a handler raised, as it is, where `on_error` says no other.
    ExceptionGroup: of all that handlers raised, with `on_error="group"`.
    ValueError: for a pattern, which cannot be emitted.

Thread-safe and re-entrant, as `emit` is.

Example:
    >>> from cyevents import Event
    >>> saved = Event("saved")
    >>> @saved.connect
    ... def report(sender, **kwargs):
    ...     return None
    >>> saved.send("draft") == [(report, None)]
    True
"""

cdef PyMethodDef _send_signal_definition
_send_signal_definition.ml_name = b"send"
_send_signal_definition.ml_meth = <void *>send_signal
_send_signal_definition.ml_flags = METH_FASTCALL | METH_KEYWORDS
_send_signal_definition.ml_doc = b"""send($self, /, *args, **kwargs)
--

Call the receivers for a sender, in order of connection, and return pairs of each and what it returned.

The sender is the one positional, None if it is missing. The keyword `_async_wrapper` is dropped, since no receiver is a
coroutine function. With more positionals, or while `_SignalCore__uses_python_send` is set, the call is passed
on to `_SignalCore__send_slow`.
"""

cdef PyMethodDef _emit_named_definition
_emit_named_definition.ml_name = b"emit"
_emit_named_definition.ml_meth = <void *>emit_named
_emit_named_definition.ml_flags = METH_FASTCALL | METH_KEYWORDS
_emit_named_definition.ml_doc = b"""emit($self, evt, /, sender=cyevents._common.SHOWN_ANY, *args, **kwargs)
--

Emit an event, given by its name or as an `Event`: see `Event.emit`.

A name without an event adds nothing to the namespace. The handlers of patterns that match it are called;
if no pattern matches, the list is empty.

Args:
    evt: the event's name, or the `Event`.
    sender: who emits.
    *args: positionals for the handlers.
    **kwargs: keywords for the handlers, of any names.

Returns:
    A new list of the handlers' results, in the order in which they ran.

Raises:
    TypeError: if `evt` is neither a non-empty string nor an `Event`.
    ValueError: if it is a pattern, which cannot be emitted.
    LookupError: if the namespace is strict and `event` has not declared the name.

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


cdef object install(cls, str name, PyMethodDef *definition):
    """Put a method on a type, as if it had been written in it."""
    method = PyDescr_NewMethod(<PyTypeObject *>cls, definition)
    PyDict_SetItem(cye_dict(<PyObject *>cls), name, method)
    PyType_Modified(<PyTypeObject *>cls)
    return method


cdef object _emit = install(EventCore, "emit", &_emit_definition)
install(EventCore, "send", &_send_definition)
install(SignalCore, "send", &_send_signal_definition)
install(NamespaceCore, "emit", &_emit_named_definition)


def install_methods(cls):
    """Give `Event` or `Namespace` its own descriptors of the C functions that it inherits.

    The interpreter takes its fast path for a call of a C method only if the object's type is exactly that of the
    descriptor: `event.emit(sender)` then costs some 12 % less. Subclasses inherit the methods as before.
    """
    global _emit
    if not isinstance(cls, type) or not issubclass(cls, (EventCore, NamespaceCore)):
        raise TypeError(f"cls must be a class of events or of namespaces, not {typed_repr(cls)}")
    if issubclass(cls, EventCore):
        _emit = install(cls, "emit", &_emit_definition)
        install(cls, "send", &_send_definition)
    else:
        install(cls, "emit", &_emit_named_definition)
    return cls
