# cython: language_level=3, freethreading_compatible=True, auto_pickle=False, embedsignature=True, binding=False
# cython: embedsignature.format=clinic
"""The kernel: the fast path of an emission, over the tables of `_tables.py`, which does everything uncommon."""

# The caller's arguments reach each handler as the very array in which they came (vectorcall), so an emission allocates
# nothing but its list of results. `emit` and `send` are therefore C functions with the vectorcall signature that are
# put on the classes by hand, below.
#
# `run_common` is the loop. It stops at an entry that needs more than a call, and says why in a `CallState`. `run_rest`
# does what is needed and lets the loop go on.
#
# With a GIL a snapshot is read as a plain field; on free-threaded builds it is read in a critical section.
#
# No call from Python may crash the interpreter, whatever its arguments: with `binding=False` the interpreter checks the
# type of `self`, which Cython's own method objects do not. Their type would also make this extension an eighth larger.

cimport cython
from cpython.dict cimport PyDict_SetItem
from cpython.exc cimport PyErr_ExceptionMatches
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject

from cyevents._core cimport _tables
from cyevents._core._tables cimport (
    BOUND, CONDITION, DELIVERED, FILTERED, FOREIGN, HELD, HIDDEN, PATTERN_FILTERED, RECORDED, WATCHED, AwaitedDispatch,
    Dispatch, Entry, Snapshot,
    CYE_GIL, cye_deref, cye_deref_function, cye_enter, cye_is_identity_sender, cye_leave, find_by_address, found,
    is_sender, put_call, sender_key,
)

# C variables, since at exit the module's own names may have been cleared.
cdef object ANY, MISSING, PARALLEL, Cancelled, bind, typed_repr
from cyevents._core import _tables as tables
from cyevents._core._safe import typed_repr
from cyevents._core._values import ANY, MISSING, PARALLEL, Cancelled
from cyevents._core._introspection import bind

cdef extern from *:
    """
    #define CYE_OFFSET PY_VECTORCALL_ARGUMENTS_OFFSET
    /* Call what is not a Python function, and count the recursion, which that does not. */
    static PyObject *cye_call_foreign(PyObject *function, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
        PyObject *result;
        if (cye_enter(" in an emission")) return NULL;
        result = PyObject_Vectorcall(function, args, nargsf, kwnames);
        cye_leave();
        return result;
    }

    /* Call a Python function. What PyObject_Vectorcall does around it is not needed: it is known to be one, and
       always either returns or raises. */
    static inline PyObject *cye_call_function(PyObject *function, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
        return ((PyFunctionObject *)function)->vectorcall(function, args, nargsf, kwnames);
    }

    /* Call a handler, a method with its owner. `copied` are the arguments with room before them. Inlined, since a call
       of a function with so many arguments costs as much as the rest. */
    static inline Py_ALWAYS_INLINE PyObject *cye_call(
        PyObject *function, PyObject *owner, int is_foreign, PyObject *const *args, PyObject **copied, size_t nargs,
        PyObject *kwnames
    ) {
        if (owner != NULL) {
            copied[1] = owner;
            args = copied + 1;
            nargs = (nargs + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET;
        }
        return is_foreign ? cye_call_foreign(function, args, nargs, kwnames)
                          : cye_call_function(function, args, nargs, kwnames);
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

    /* A type's version, which another thread may set between two reads. */
    #if defined(Py_GIL_DISABLED) && (defined(__GNUC__) || defined(__clang__))
    #define CYE_LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    #define CYE_STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #else
    #define CYE_LOAD(place) (place)
    #define CYE_STORE(place, value) ((void)((place) = (value)))
    #endif
    static inline unsigned int cye_version(PyObject *type) { return CYE_LOAD(((PyTypeObject *)type)->tp_version_tag); }
    static inline PyObject *cye_dict(PyObject *type) { return Py_XNewRef(((PyTypeObject *)type)->tp_dict); }
    static Py_ALWAYS_INLINE inline PyObject *cye_emit_array(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    static inline PyObject *cye_type(PyObject *object) { return (PyObject *)Py_TYPE(object); }
    static inline PyObject *cye_none(void) { return Py_None; }

    /* Copy a few arguments that have just been written. Several at once would wait for those writes. */
    static inline void cye_copy(PyObject *volatile *to, PyObject *const *from, Py_ssize_t size) {
        Py_ssize_t i;
        for (i = 0; i < size; i++) to[i] = from[i];
    }

    #include "structmember.h"

    /* An event and its sender, as a bound method is a function and its object: `BoundEvent`. One is made and freed for
       each `object.event.emit(...)`, so a few of them are kept. They stay tracked by the garbage collector, which
       takes a third of the time of making one. So anything may find a kept one, whose fields are NULL. */
    typedef struct {
        PyObject_HEAD
        PyObject *event;
        PyObject *sender;
        PyObject *weakrefs;
    } CyeBound;
    #if defined(Py_GIL_DISABLED) || defined(Py_REF_DEBUG)
    #define CYE_SPARE_BOUND 0
    #else
    #define CYE_SPARE_BOUND 4
    #endif
    static PyTypeObject *cye_bound_type;
    static CyeBound *cye_spare_bound[CYE_SPARE_BOUND + 1];
    static int cye_spare_bound_count;

    static PyObject *cye_bind(PyObject *event, PyObject *sender) {
        CyeBound *bound;
        int is_new = cye_spare_bound_count == 0;
        if (is_new) {
            bound = PyObject_GC_New(CyeBound, cye_bound_type);
            if (bound == NULL) return NULL;
            bound->weakrefs = NULL;
        } else {
            bound = cye_spare_bound[--cye_spare_bound_count];
        }
        bound->event = Py_NewRef(event);
        bound->sender = Py_NewRef(sender);
        if (is_new) PyObject_GC_Track(bound);
        return (PyObject *)bound;
    }

    static void cye_bound_dealloc(PyObject *self) {
        CyeBound *bound = (CyeBound *)self;
        PyObject *event = bound->event, *sender = bound->sender;
        if (cye_spare_bound_count < CYE_SPARE_BOUND && bound->weakrefs == NULL) {
            bound->event = bound->sender = NULL;
            Py_SET_REFCNT(self, 1);
            cye_spare_bound[cye_spare_bound_count++] = bound;
        } else {
            PyObject_GC_UnTrack(self);
            if (bound->weakrefs != NULL) PyObject_ClearWeakRefs(self);
            PyObject_GC_Del(self);
            Py_DECREF(cye_bound_type);
        }
        Py_XDECREF(event);
        Py_XDECREF(sender);
    }

    static int cye_bound_traverse(PyObject *self, visitproc visit, void *arg) {
        Py_VISIT(Py_TYPE(self));
        Py_VISIT(((CyeBound *)self)->event);
        Py_VISIT(((CyeBound *)self)->sender);
        return 0;
    }

    static PyMemberDef cye_bound_members[] = {
        {"_event", T_OBJECT, offsetof(CyeBound, event), READONLY, NULL},
        {"_sender", T_OBJECT, offsetof(CyeBound, sender), READONLY, NULL},
        {"__weaklistoffset__", T_PYSSIZET, offsetof(CyeBound, weakrefs), READONLY, NULL},
        {NULL}
    };
    static PyType_Slot cye_bound_slots[] = {
        {Py_tp_dealloc, cye_bound_dealloc},
        {Py_tp_traverse, cye_bound_traverse},
        {Py_tp_members, cye_bound_members},
        {0, NULL}
    };
    static PyType_Spec cye_bound_spec = {
        "cyevents._bound.BoundEvent", sizeof(CyeBound), 0,
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, cye_bound_slots
    };
    static PyObject *cye_make_bound_type(void) {
        PyObject *type = PyType_FromSpec(&cye_bound_spec);
        cye_bound_type = (PyTypeObject *)Py_XNewRef(type);
        return type;
    }
    static inline PyObject *cye_false(void) { return Py_False; }
    """
    size_t CYE_OFFSET
    unsigned int CYE_LOAD(unsigned int place) noexcept
    void CYE_STORE(unsigned int place, unsigned int value) noexcept
    PyObject *cye_call_function(PyObject *function, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    PyObject *cye_call(
        PyObject *function, PyObject *owner, bint is_foreign, PyObject *const *args, PyObject **copied, size_t nargs,
        PyObject *kwnames
    ) noexcept
    PyObject *cye_pair(PyObject *first, PyObject *second) noexcept
    int cye_append(PyObject *results, PyObject *item, Py_ssize_t more) noexcept
    bint cye_is_value(PyObject *result) noexcept
    bint cye_is_name(PyObject *keyword, PyObject *name) noexcept
    int cye_reraise(object error) noexcept
    unsigned int cye_version(PyObject *type) noexcept
    dict cye_dict(PyObject *type)
    PyObject *cye_type(PyObject *) noexcept
    PyObject *cye_none() noexcept
    void cye_copy(PyObject **to, PyObject *const *from_, Py_ssize_t size) noexcept
    ctypedef struct CyeBound:
        PyObject *event
        PyObject *sender
    object cye_bind(object event, object sender)
    object cye_make_bound_type()
    int cye_spare_bound_count
    PyObject *cye_false() noexcept

cdef extern from "Python.h":
    bint PyMethod_Check(PyObject *) noexcept
    object PyMethod_New(PyObject *function, PyObject *owner)
    PyObject *PyMethod_GET_FUNCTION(PyObject *) noexcept
    PyObject *PyMethod_GET_SELF(PyObject *) noexcept
    PyObject *PyObject_Vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    PyObject *PyObject_VectorcallMethod(PyObject *name, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    int PyObject_IsTrue(PyObject *) noexcept
    int PyList_SetSlice(list, Py_ssize_t, Py_ssize_t, PyObject *) noexcept
    Py_ssize_t PY_SSIZE_T_MAX
    PyObject *PyErr_NoMemory() noexcept
    bint PyFunction_Check(PyObject *) noexcept
    bint PyUnicode_CheckExact(object)
    PyObject *item_of "PyTuple_GET_ITEM"(PyObject *tuple, Py_ssize_t i) noexcept
    Py_ssize_t size_of "PyTuple_GET_SIZE"(PyObject *tuple) noexcept
    void *PyExc_Exception
    int METH_FASTCALL
    int METH_KEYWORDS
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    object PyDescr_NewMethod(PyTypeObject *, PyMethodDef *)
    void PyType_Modified(PyTypeObject *)
    void INCREF "Py_INCREF"(PyObject *)
    void DECREF "Py_DECREF"(PyObject *)


cdef enum:
    REFERENCE_FLAGS = BOUND | HELD
    FAST_FLAGS = REFERENCE_FLAGS | CONDITION | FOREIGN  # the flags of entries that the loop calls
    BOX_FLAGS = REFERENCE_FLAGS | FOREIGN | DELIVERED  # of entries whose calls may go to a mailbox at once
    STACK_BUFFER = 12  # arguments for which there is room on the C stack
    CONNECT_SIZE = 13  # the parameters of `connect`
    CONNECT_POSITIONALS = 5  # the first of them

cdef enum StopReason:
    UNUSUAL_RESULT  # it was called, and returned something unusual or raised
    CONDITION_RAISED
    NEEDS_SLOW_PATH  # nothing has been done

cdef struct CallState:  # of the entry at which the loop has stopped
    PyObject *function  # owned, and so is the owner if the handler is a method
    PyObject *owner
    PyObject *result  # owned; NULL if it, or its condition, has raised
    StopReason reason

cdef enum:
    FAILED = 2  # a handler has raised, and that is set

cdef object _SENDER = "sender"
cdef object _ASYNC_WRAPPER = "_async_wrapper"
cdef object _SEND_SLOW = "_SignalCore__send_slow"
cdef bint _are_bound_methods_loaded = False


@cython.trashcan(True)
cdef class EventCore(_tables.EventCore):
    """An event's tables and its emission. `Event` adds what a user sees, and the types."""

    def __init__(self):
        pass

    def _start_async(self, dispatch_class, loop, sender, tuple args not None, dict kwargs not None, plan=None, /):
        """Do what `_start_awaiting` does, for `emit_async`."""
        # The common loop calls them, up to the first that needs more.
        cdef PyObject *stack_buffer[STACK_BUFFER]
        cdef PyObject *snapshot = NULL
        cdef PyObject *entries
        cdef tuple names = None
        cdef tuple values
        cdef CallState state
        cdef Py_ssize_t nargs = 1 + len(args)
        cdef Py_ssize_t size = nargs + len(kwargs)
        cdef Py_ssize_t i
        cdef list results
        if plan is not None or size + 2 > STACK_BUFFER:
            return _tables.EventCore._start_awaiting(self, dispatch_class, loop, sender, args, kwargs, plan, 0)
        stack_buffer[2] = <PyObject *>sender
        for i in range(1, nargs):
            stack_buffer[i + 2] = item_of(<PyObject *>args, i - 1)
        if kwargs:
            names = tuple(kwargs)
            values = tuple(kwargs.values())
            if len(names) != size - nargs or len(values) != size - nargs:  # another thread changes it
                return _tables.EventCore._start_awaiting(self, dispatch_class, loop, sender, args, kwargs, None, 0)
            for i in range(size - nargs):
                if not PyUnicode_CheckExact(names[i]):
                    return _tables.EventCore._start_awaiting(self, dispatch_class, loop, sender, args, kwargs, None, 0)
                stack_buffer[nargs + i + 2] = item_of(<PyObject *>values, i)
        if not self._slow_path_flags:
            snapshot = load_general(self)
        elif self._slow_path_flags & RECORDED:
            return _tables.EventCore._start_awaiting(self, dispatch_class, loop, sender, args, kwargs, None, 0)
        if snapshot is NULL:
            snapshot = find_snapshot(self, <PyObject *>sender)
        try:
            results = []
            entries = <PyObject *>(<Snapshot>snapshot).entries
            i = _run_common(
                entries, 0, stack_buffer + 2, stack_buffer, nargs, NULL if names is None else <PyObject *>names,
                <PyObject *>results, &state,
            )
            if i == size_of(entries):
                return results
            return start_awaited(
                self, dispatch_class, loop, sender, args, kwargs, results, <tuple>entries, i, &state
            )
        finally:
            DECREF(snapshot)

    def __get__(self, instance, owner):
        """Return the event itself for a class, and bound to the object for an object of the class."""
        global _are_bound_methods_loaded
        if instance is None:
            return self
        if not cye_spare_bound_count and not _are_bound_methods_loaded:
            self._load_bound_methods()
            _are_bound_methods_loaded = True
        return cye_bind(self, instance)


cdef object start_awaited(
    EventCore self, dispatch_class, loop, sender, tuple args, dict kwargs, list results, tuple entries, Py_ssize_t i,
    CallState *state,
):
    """Go on where the common loop has stopped."""
    cdef AwaitedDispatch dispatch = None
    cdef Entry entry = <Entry>item_of(<PyObject *>entries, i)
    cdef int status
    cdef bint is_called = state.reason != NEEDS_SLOW_PATH
    try:
        # What the handler raised is set meanwhile: this calls no Python code.
        dispatch = _tables._make_awaited(dispatch_class, loop, self, sender, args, kwargs, results, entries, 0)
        dispatch._index = i + is_called
        if is_called:
            status = take_unusual(dispatch, entry, state)
            if status == FAILED:
                already_raised()
            if status:
                dispatch._stopper = make_handler(entry, state.function, state.owner)
    except BaseException as error:
        if dispatch is not None:
            dispatch._end()
        cye_reraise(error)
        already_raised()
    finally:
        if is_called:
            release_state(state)
    return dispatch._start()


# The loop

cdef inline bint take_references(PyObject *entry, int flags, PyObject **function, PyObject **owner) noexcept:
    """Take references to an entry's function, and the owner if the handler is a method; false if it is dead."""
    cdef PyObject *held = <PyObject *>(<Entry>entry).held
    owner[0] = NULL
    if not flags & REFERENCE_FLAGS:
        function[0] = cye_deref_function(entry, (<Entry>entry).was_deferred)
        return function[0] is not NULL
    if flags & BOUND:
        owner[0] = cye_deref(entry)
        if owner[0] is NULL:
            return False
        if type(<object>held) is _tables.Ref:
            function[0] = cye_deref_function(held, (<Entry>entry).was_deferred)
            if function[0] is NULL:
                DECREF(owner[0])
                return False
            return True
    elif PyMethod_Check(held):
        owner[0] = PyMethod_GET_SELF(held)
        INCREF(owner[0])
        held = PyMethod_GET_FUNCTION(held)
    function[0] = held
    INCREF(held)
    return True


cdef inline bint is_borrowed(int flags) noexcept:
    """Return whether the loop calls an entry's handler without references of its own to it.

    The snapshot keeps its entries and so what they hold. On free-threaded builds threads would contend for the
    reference counts of handlers that they share.
    """
    return not CYE_GIL and flags & HELD


cdef inline void borrow(PyObject *entry, PyObject **function, PyObject **owner) noexcept:
    """Set what `take_references` does, for an entry that holds its handler, without taking references."""
    cdef PyObject *held = <PyObject *>(<Entry>entry).held
    owner[0] = NULL
    if PyMethod_Check(held):
        owner[0] = PyMethod_GET_SELF(held)
        held = PyMethod_GET_FUNCTION(held)
    function[0] = held


cdef inline void release(PyObject *function, PyObject *owner) noexcept:
    DECREF(function)
    if owner is not NULL:
        DECREF(owner)


cdef inline void release_state(CallState *state) noexcept:
    release(state.function, state.owner)
    if state.result is not NULL:
        DECREF(state.result)
        state.result = NULL


cdef inline void release_called(int flags, PyObject *function, PyObject *owner) noexcept:
    if not is_borrowed(flags):
        release(function, owner)


cdef inline void fill_state(CallState *state, int flags, PyObject *function, PyObject *owner, PyObject *result) noexcept:
    if is_borrowed(flags):
        INCREF(function)
        if owner is not NULL:
            INCREF(owner)
    state.function = function
    state.owner = owner
    state.result = result


cdef bint has_become_inactive(Entry entry) noexcept:
    """Return whether a condition has disconnected its own entry. An entry of which that cannot be found out is skipped."""
    try:
        return entry.is_inactive()
    except BaseException:  # no stack is left
        return True


cdef Py_ssize_t run_common(
    PyObject *entries,
    Py_ssize_t i,
    PyObject *const *args,
    PyObject **copied,
    Py_ssize_t nargs,
    PyObject *kwnames,
    PyObject *results,
    CallState *state,
) noexcept:
    """Call entries from the i-th on, while they have no uncommon flags and return values or None.

    Returns the index of the entry at which it stopped, or the number of entries. `state.reason` says why it stopped,
    and so whether that entry has been called.
    Without room for the arguments and an object in `copied`, methods are uncommon.
    """
    cdef PyObject *entry
    cdef PyObject *function
    cdef PyObject *owner
    cdef PyObject *result
    cdef int flags
    cdef int truth
    cdef Py_ssize_t count = size_of(entries)
    state.reason = UNUSUAL_RESULT
    while i < count:
        entry = item_of(entries, i)  # the tuple keeps it alive
        flags = (<Entry>entry).flags
        if flags == 0:
            owner = NULL
            function = cye_deref_function(entry, (<Entry>entry).was_deferred)
            if function is NULL:
                i += 1
                continue
        elif flags & ~FAST_FLAGS:
            state.reason = NEEDS_SLOW_PATH
            return i
        else:
            if is_borrowed(flags):
                borrow(entry, &function, &owner)
            elif not take_references(entry, flags, &function, &owner):
                i += 1
                continue
            if owner is not NULL and copied is NULL:
                release_called(flags, function, owner)
                state.reason = NEEDS_SLOW_PATH
                return i
            if flags & CONDITION:
                truth = ask(<PyObject *>(<Entry>entry)._condition, args, nargs, kwnames)
                if truth < 0:
                    state.reason = CONDITION_RAISED
                    fill_state(state, flags, function, owner, NULL)
                    return i
                if truth == 0 or ((<Entry>entry).flags != flags and has_become_inactive(<Entry>entry)):
                    release_called(flags, function, owner)
                    i += 1
                    continue
        result = cye_call(function, owner, flags & FOREIGN, args, copied, nargs, kwnames)
        if result is cye_none():
            DECREF(result)
        elif result is NULL or result is cye_false() or not cye_is_value(result):
            fill_state(state, flags, function, owner, result)
            return i
        elif cye_append(results, result, count - i):
            fill_state(state, flags, function, owner, NULL)
            return i
        release_called(flags, function, owner)
        i += 1
    return count


# Called by a pointer, so that the C compiler does not inline it: inlined, its loop has too few registers.
cdef Py_ssize_t (*_run_common)(
    PyObject *, Py_ssize_t, PyObject *const *, PyObject **, Py_ssize_t, PyObject *, PyObject *, CallState *
) noexcept
_run_common = run_common


cdef PyObject *run_rest(
    _tables.EventCore self, tuple entries, Py_ssize_t i, CallState *state, PyObject *const *args, Py_ssize_t nargs,
    PyObject *kwnames, list results,
) except NULL:
    """Go on with an emission at the i-th entry. Return the `Cancelled`, or None, as a new reference."""
    cdef Py_ssize_t count = len(entries)
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef PyObject **copied = copy_args(args, nargs + names_in(kwnames), stack_buffer)
    cdef Dispatch dispatch = None
    cdef Entry entry
    cdef tuple rest = None
    cdef int status
    canceller = keywords = None
    if copied is NULL:
        if state.reason != NEEDS_SLOW_PATH:
            release_state(state)
        already_raised()
    try:
        while i < count:
            entry = <Entry>item_of(<PyObject *>entries, i)
            if state.reason != NEEDS_SLOW_PATH:
                i += 1
                try:
                    if dispatch is None:  # what the handler raised is set meanwhile: this calls no Python code
                        dispatch = make_dispatch(self, args, nargs, kwnames, results, 0)
                    status = take_unusual(dispatch, entry, state)
                    if status == FAILED:
                        return NULL
                    if status:
                        canceller = make_handler(entry, state.function, state.owner)
                finally:
                    release_state(state)
            elif entry.flags & ~FAST_FLAGS:
                i += 1
                if not entry.flags & ~BOX_FLAGS:
                    mailbox = entry._condition.mailbox
                    if mailbox is not None:
                        handler = entry.get()
                        if rest is None:
                            rest, keywords = as_tuple(args, 1, nargs), as_dict(args + nargs, kwnames)
                        if handler is not None:
                            put_call(mailbox, (entry, handler, handler, self, <object>args[0], rest, keywords))
                        continue
                if dispatch is None:
                    dispatch = make_dispatch(self, args, nargs, kwnames, results, 0)
                canceller = dispatch.turn(entry)
            if canceller is not None:
                break
            i = _run_common(<PyObject *>entries, i, args, copied, nargs, kwnames, <PyObject *>results, state)
        if dispatch is not None and dispatch.errors:
            raise self._make_exception_group(dispatch.errors)
    finally:
        clear_errors(dispatch)
        if copied is not stack_buffer:
            PyMem_Free(copied)
    if canceller is not None:
        canceller = Cancelled(results, canceller, self, dispatch.reason)
    INCREF(<PyObject *>canceller)
    return <PyObject *>canceller


cdef inline void clear_errors(Dispatch dispatch) noexcept:
    """Release the errors, which would refer to themselves by their tracebacks. An exception may be set."""
    if dispatch is not None:
        PyList_SetSlice(dispatch.errors, 0, PY_SSIZE_T_MAX, NULL)


cdef Dispatch make_dispatch(
    _tables.EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, list results, int mode
):
    return _tables._make_dispatch(
        self, <object>args[0], as_tuple(args, 1, nargs), as_dict(args + nargs, kwnames), results, mode
    )


cdef inline Py_ssize_t names_in(PyObject *kwnames) noexcept:
    return 0 if kwnames is NULL else size_of(kwnames)


cdef inline PyObject **copy_args(PyObject *const *args, Py_ssize_t size, PyObject **stack_buffer) noexcept:
    """Return the arguments with two free places before them: in the buffer, or in memory to be freed. NULL: an error."""
    cdef PyObject **copied = stack_buffer
    cdef Py_ssize_t i
    if size + 2 > STACK_BUFFER:
        copied = <PyObject **>PyMem_Malloc((size + 2) * sizeof(PyObject *))
        if copied is NULL:
            PyErr_NoMemory()
            return NULL
    for i in range(size):
        copied[i + 2] = args[i]
    return copied


cdef object make_handler(Entry entry, PyObject *function, PyObject *owner):
    """Return the handler, given as a function, or a function and the object whose method it is."""
    if entry.flags & HELD:
        return entry.held
    if owner is NULL:
        return <object>function
    if PyFunction_Check(function):
        return PyMethod_New(function, owner)
    return bind(<object>function, <object>owner)


cdef tuple as_tuple(PyObject *const *args, Py_ssize_t first, Py_ssize_t end):
    return tuple([<object>args[i] for i in range(first, end)])


cdef dict as_dict(PyObject *const *values, PyObject *kwnames):
    """Return the keywords as a dict."""
    cdef Py_ssize_t i
    cdef dict given = {}
    for i in range(names_in(kwnames)):
        given[<object>item_of(kwnames, i)] = <object>values[i]
    return given


cdef inline int ask(PyObject *condition, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) noexcept:
    """Return what a condition says of the sender and the keywords: positionals are not passed. -1: it has raised."""
    cdef PyObject *answer
    cdef int truth
    if not PyFunction_Check(condition) or (nargs > 1 and kwnames is not NULL):
        return ask_foreign(condition, args, nargs, kwnames)
    answer = cye_call_function(condition, args, 1, kwnames)
    if answer is NULL:
        return -1
    truth = PyObject_IsTrue(answer)
    DECREF(answer)
    return truth


cdef int ask_foreign(PyObject *condition, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) noexcept:
    """`ask` a condition that is not a Python function, or where positionals must be left out.

    It counts as recursion, which only Python functions count by themselves.
    """
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef PyObject **array = stack_buffer
    cdef PyObject *answer
    cdef int truth = -1
    if nargs > 1 and kwnames is not NULL:
        array = copy_args(args + nargs - 1, names_in(kwnames) + 1, stack_buffer)  # the sender's place, then the values
        if array is NULL:
            return -1
        array[2] = args[0]
        args = array + 2
    if not cye_enter(b" in a condition"):
        answer = PyObject_Vectorcall(condition, args, 1, kwnames)
        if answer is not NULL:
            truth = PyObject_IsTrue(answer)
            DECREF(answer)
        cye_leave()
    if array is not stack_buffer:
        PyMem_Free(array)
    return truth


cdef int already_raised() except -1:
    """Make an exception that is set one that Cython handles."""
    return -1


cdef int take_unusual(Dispatch dispatch, Entry entry, CallState *state) except -1:
    """Take an uncommon result of an entry, or an exception of it or its condition.

    Returns whether the handler cancels; FAILED if the exception goes to the emitter. It is set again then, with a
    traceback that leads from the emission to the handler's line, and not through here.
    """
    if state.reason == UNUSUAL_RESULT and state.result is not NULL:
        result = <object>state.result
        DECREF(state.result)
        state.result = NULL
        if result is None or result is False:
            return result is False
        return dispatch.take_result(result, entry, make_handler(entry, state.function, state.owner))
    return take_exception(dispatch, entry, state, True)


cdef int take_exception(Dispatch dispatch, Entry entry, CallState *state, bint takes_result) except -1:
    cdef int status = 0
    if not PyErr_ExceptionMatches(<object>PyExc_Exception):
        return FAILED
    try:
        already_raised()
    except Exception as error:
        handler = make_handler(entry, state.function, state.owner)
        if state.reason == CONDITION_RAISED:
            dispatch.event._condition_failed(error, entry, handler, dispatch.sender, dispatch.kwargs)
        elif not dispatch.take_error(error, entry, handler, dispatch.kwargs, takes_result):
            cye_reraise(error)
            status = FAILED
    return status or dispatch.has_cancel


cdef int send_to(
    _tables.EventCore self, PyObject *entries, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, list pairs
) except -1:
    """Call entries in order, and append pairs of each handler and what it returned: see `EventCore.send`."""
    cdef PyObject *entry
    cdef PyObject *handler
    cdef PyObject *pair
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef PyObject **copied = copy_args(args, nargs + names_in(kwnames), stack_buffer)
    cdef Py_ssize_t i
    cdef Py_ssize_t count = size_of(entries)
    cdef int flags
    cdef CallState state
    cdef Dispatch dispatch = None
    state.reason = UNUSUAL_RESULT
    if copied is NULL:
        already_raised()
    try:
        for i in range(count):
            entry = item_of(entries, i)
            flags = (<Entry>entry).flags
            if flags & ~(REFERENCE_FLAGS | FOREIGN):
                if dispatch is None:
                    dispatch = make_dispatch(self, args, nargs, kwnames, pairs, _tables.PAIRS)
                dispatch.send_turn(<Entry>entry)
                continue
            if not take_references(entry, flags, &state.function, &state.owner):
                continue
            state.result = cye_call(state.function, state.owner, flags & FOREIGN, args, copied, nargs, kwnames)
            if state.result is NULL:
                try:
                    if dispatch is None:
                        dispatch = make_dispatch(self, args, nargs, kwnames, pairs, _tables.PAIRS)
                    if take_exception(dispatch, <Entry>entry, &state, False) == FAILED:
                        return -1
                finally:
                    release_state(&state)
                continue
            handler = state.function
            if state.owner is not NULL:
                try:
                    method = make_handler(<Entry>entry, state.function, state.owner)
                except BaseException:
                    DECREF(state.result)
                    raise
                finally:
                    release(state.function, state.owner)
                handler = <PyObject *>method
                INCREF(handler)
            pair = cye_pair(handler, state.result)
            if pair is NULL or cye_append(<PyObject *>pairs, pair, count - i):
                already_raised()
        if dispatch is not None and dispatch.errors:
            raise self._make_exception_group(dispatch.errors)
    finally:
        clear_errors(dispatch)
        if copied is not stack_buffer:
            PyMem_Free(copied)
    return 0


# `emit` and `send` of `EventCore`, `send` of `SignalCore`, `emit` of `NamespaceCore`: with the vectorcall signature

cdef inline PyObject *load_general(_tables.EventCore self) noexcept:
    """Return the snapshot for no particular sender as a new reference; NULL if it must be built."""
    cdef PyObject *snapshot
    if CYE_GIL:
        snapshot = <PyObject *>self._general
        if <PyObject *>(<Snapshot>snapshot).entries is cye_none():
            return NULL
        INCREF(snapshot)
        return snapshot
    with cython.critical_section(self):  # one, since threads that emit the same event wait for each other here
        snapshot = <PyObject *>self._general
        if <PyObject *>(<Snapshot>snapshot).entries is cye_none():
            snapshot = NULL
        else:
            INCREF(snapshot)
    return snapshot


cdef inline PyObject *find_known(_tables.EventCore self, PyObject *sender) noexcept:
    """Return the snapshot for a sender, which is the general one if nothing is connected for it; NULL if that is not known.

    With a GIL only.
    """
    cdef PyObject *general = <PyObject *>self._general
    cdef PyObject *snapshot = NULL
    if (<Snapshot>general).by_address is not None:
        snapshot = find_by_address((<Snapshot>general).by_address, sender)
        if snapshot is not NULL:
            if type(<object>snapshot) is not Snapshot or not is_sender(<PyObject *>(<Snapshot>snapshot).group, sender):
                return NULL
    if snapshot is NULL and not self._slow_path_flags & PATTERN_FILTERED and self._senders is not None:
        if find_by_address(self._senders, sender) is NULL and cye_is_identity_sender(sender):
            snapshot = general
    return NULL if snapshot is NULL or (<Snapshot>snapshot).entries is None else snapshot


cdef PyObject *find_snapshot(_tables.EventCore self, PyObject *sender) except NULL:
    """Return what an emission by this sender runs, as a new reference."""
    cdef Snapshot snapshot = None
    cdef dict by_sender
    cdef PyObject *known
    if self._slow_path_flags & (FILTERED | HIDDEN) == FILTERED:
        if CYE_GIL:
            known = find_known(self, sender)
            if known is not NULL:
                INCREF(known)
                return known
        else:
            by_sender = self._load_by_sender(self._load_general())
            if by_sender is not None:
                snapshot = found(by_sender, sender_key(<object>sender))
                if snapshot is not None and not (snapshot.group.is_for(<object>sender) and self._is_built(snapshot)):
                    snapshot = None
    if snapshot is None:
        snapshot = self._find_snapshot(<object>sender)
    INCREF(<PyObject *>snapshot)
    return <PyObject *>snapshot


cdef inline object emit_array "cye_emit_array"(
    PyObject *event, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames
):
    """Emit with the arguments of an array, the sender first: `emit`, inlined where each call more would show."""
    cdef _tables.EventCore self = <_tables.EventCore>event
    cdef PyObject *cancelled = NULL
    cdef PyObject *snapshot = NULL
    cdef PyObject *entries
    cdef CallState state
    cdef Py_ssize_t i = 0
    cdef list results
    if not self._slow_path_flags:
        snapshot = load_general(self)
    elif self._slow_path_flags & (WATCHED | RECORDED):
        return self._emitted(<object>args[0], as_tuple(args, 1, nargs), as_dict(args + nargs, kwnames))
    if snapshot is NULL:
        snapshot = find_snapshot(self, args[0])
    try:
        results = []
        entries = <PyObject *>(<Snapshot>snapshot).entries
        if size_of(entries) and (<Entry>item_of(entries, 0)).flags & BOUND:
            state.reason = NEEDS_SLOW_PATH  # it is called with its object in a copy of the array, and so are others
        else:
            i = _run_common(entries, 0, args, NULL, nargs, kwnames, <PyObject *>results, &state)
        if i < size_of(entries):
            cancelled = run_rest(self, <tuple>entries, i, &state, args, nargs, kwnames, results)
    finally:
        DECREF(snapshot)
    if cancelled is NULL:
        return results
    outcome = <object>cancelled
    DECREF(cancelled)
    return results if outcome is None else outcome


cdef object emit(_tables.EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    if nargs == 0 or (kwnames is not NULL and find_keyword(kwnames, <PyObject *>_SENDER) >= 0):
        return with_sender(emit, b"emit", self, args, nargs, kwnames)
    return emit_array(<PyObject *>self, args, nargs, kwnames)


cdef object send(_tables.EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    if nargs == 0 or (kwnames is not NULL and find_keyword(kwnames, <PyObject *>_SENDER) >= 0):
        return with_sender(send, b"send", self, args, nargs, kwnames)
    return pairs_of(self, args, nargs, kwnames)


cdef object pairs_of(_tables.EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """Return what `send` returns: `EventCore._sent`."""
    cdef PyObject *snapshot = NULL
    cdef list pairs
    if not self._slow_path_flags:
        snapshot = load_general(self)
    elif self._slow_path_flags & (WATCHED | RECORDED):
        return self._sent(<object>args[0], as_tuple(args, 1, nargs), as_dict(args + nargs, kwnames))
    if snapshot is NULL:
        snapshot = find_snapshot(self, args[0])
    try:
        pairs = []
        send_to(self, <PyObject *>(<Snapshot>snapshot).entries, args, nargs, kwnames, pairs)
    finally:
        DECREF(snapshot)
    return pairs


# The parameters of `connect`, the positional ones first, and their defaults
cdef tuple _CONNECT_NAMES = (
    "receiver", "sender", "weak", "priority", "condition", "once", "with_event", "thread", "replay", "via", "overlap",
    "limit", "timeout",
)
cdef tuple _CONNECT_DEFAULTS = (MISSING, ANY, True, 0, None, False, False, False, False, None, PARALLEL, None, None)
cdef object _connect_by_tables = EventCore.connect  # it raises what is wrong with the arguments


cdef object connect(_tables.EventCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """Find the arguments without holding a reference to each of them, which would take a tenth of a connection."""
    cdef PyObject *values[CONNECT_SIZE]
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef PyObject **array
    cdef PyObject *returned
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t i
    if nargs <= CONNECT_POSITIONALS:
        for i in range(nargs, CONNECT_SIZE):
            values[i] = item_of(<PyObject *>_CONNECT_DEFAULTS, i)
        cye_copy(values, args, nargs)
        for i in range(names_in(kwnames)):
            at = find_keyword(<PyObject *>_CONNECT_NAMES, item_of(kwnames, i))
            if at < nargs:  # there is no such parameter, or it was given by position
                break
            values[at] = args[nargs + i]
        else:
            return self._connect_given(
                <object>values[0], <object>values[1], <object>values[2], <object>values[3], <object>values[4],
                <object>values[5], <object>values[6], <object>values[7], <object>values[8], <object>values[9],
                <object>values[10], <object>values[11], <object>values[12],
            )
    array = copy_args(args, nargs + names_in(kwnames), stack_buffer)
    if array is NULL:
        already_raised()
    array[1] = <PyObject *>self
    returned = PyObject_Vectorcall(<PyObject *>_connect_by_tables, array + 1, nargs + 1, kwnames)
    if array is not stack_buffer:
        PyMem_Free(array)
    if returned is NULL:
        already_raised()
    result = <object>returned
    DECREF(returned)
    return result


cdef inline Py_ssize_t find_keyword(PyObject *kwnames, PyObject *name) noexcept:
    """Return the index of a keyword; -1 if it is not given."""
    cdef Py_ssize_t i
    for i in range(size_of(kwnames)):
        if cye_is_name(item_of(kwnames, i), name):
            return i
    return -1


cdef object with_sender(
    object (*call)(_tables.EventCore, PyObject *const *, Py_ssize_t, PyObject *),
    const char *name,
    _tables.EventCore self,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
):
    """Call `emit` or `send` with the sender given by keyword, or not at all: put it where they expect it."""
    cdef Py_ssize_t at = -1 if kwnames is NULL else find_keyword(kwnames, <PyObject *>_SENDER)
    if nargs and at >= 0:
        raise TypeError(f"Event.{name.decode()}() got multiple values for argument 'sender'")
    return call_with_sender(call, self, <PyObject *>ANY if at < 0 else args[at], args, nargs, kwnames, at)


cdef object call_with_sender(
    object (*call)(_tables.EventCore, PyObject *const *, Py_ssize_t, PyObject *),
    _tables.EventCore self,
    PyObject *first,
    PyObject *const *args,
    Py_ssize_t nargs,
    PyObject *kwnames,
    Py_ssize_t at,
):
    """Call with another first positional, if not NULL, before the others, and without the keyword `at`, if not -1."""
    cdef Py_ssize_t names = names_in(kwnames)
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef PyObject **array = copy_args(args, nargs + names, stack_buffer)
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
        if array is not stack_buffer:
            PyMem_Free(array)


@cython.no_gc_clear  # `send` relies on the core; clearing the core breaks the cycles that a signal is part of
@cython.embedsignature(True)
@cython.trashcan(True)
cdef class SignalCore:
    """A blinker signal's `send`, over the `EventCore` that it holds. `Signal` adds what a user sees."""

    # A signal has a core instead of being one, so that its subclasses may use any names that a core uses for themselves.
    # What `Signal` needs of this class has the names that a class `SignalCore` written in Python gives to `__names`.

    cdef _tables.EventCore core
    cdef _tables.cye_bool is_fast_send_used  # false without a core: an object is found by the garbage collector while it is made
    cdef object __weakref__

    def __cinit__(self, core, /):
        if not isinstance(core, _tables.EventCore):
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
        return not self.is_fast_send_used

    @_SignalCore__uses_python_send.setter
    def _SignalCore__uses_python_send(self, bint uses_python_send):
        self.is_fast_send_used = not uses_python_send and self.core is not None

    def _SignalCore__send_slow(self, /, *args, **kwargs):
        """Hook: send what `send` leaves to Python code."""
        raise NotImplementedError


cdef object send_signal(SignalCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    # The sender is the one positional, None if it is missing. The keyword `_async_wrapper` is dropped, since no receiver
    # is a coroutine function.
    cdef PyObject *core = <PyObject *>self.core  # held by the signal: no need to count references
    cdef Py_ssize_t at
    if nargs > 1 or not self.is_fast_send_used:
        return send_slow(self, args, nargs, kwnames)
    at = -1 if kwnames is NULL else find_keyword(kwnames, <PyObject *>_ASYNC_WRAPPER)
    if nargs == 0 or at >= 0:
        return call_with_sender(pairs_of, <_tables.EventCore>core, cye_none() if nargs == 0 else NULL, args, nargs, kwnames, at)
    return pairs_of(<_tables.EventCore>core, args, nargs, kwnames)


cdef object send_slow(SignalCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """Call the signal's `_SignalCore__send_slow` with the same arguments."""
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef PyObject **array = copy_args(args, nargs + names_in(kwnames), stack_buffer)
    cdef PyObject *returned
    if array is NULL:
        already_raised()
    array[1] = <PyObject *>self
    returned = PyObject_VectorcallMethod(<PyObject *>_SEND_SLOW, array + 1, (nargs + 1) | CYE_OFFSET, kwnames)
    if array is not stack_buffer:
        PyMem_Free(array)
    if returned is NULL:
        already_raised()
    pairs = <object>returned
    DECREF(returned)
    return pairs


@cython.embedsignature(True)
cdef class NamespaceCore(_tables.NamespaceCore):
    """Events by name, and emission by name. `Namespace` adds what a user sees, and the types."""


# The version, which no two types share, of the type of event that was last emitted by name or bound, which is `Event`,
# if its `emit` is the one above.
cdef unsigned int _plain_version = 0


cdef inline bint is_plain(PyObject *cls) noexcept:
    """Return whether a class of events is known to have the `emit` above."""
    cdef unsigned int version = cye_version(cls)  # 0: it has changed too often to tell
    return version == CYE_LOAD(_plain_version) and version != 0


cdef inline bint has_plain_emit(object event) except -1:
    """Return whether an event has the `emit` above: none of a subclass, or of a test that has replaced it."""
    cls = type(event)
    cdef unsigned int version = cye_version(<PyObject *>cls)
    if is_plain(<PyObject *>cls):
        return True
    if not issubclass(cls, _tables.EventCore) or cls.emit is not _emit:
        return False
    CYE_STORE(_plain_version, version)
    return True


cdef object emit_named(NamespaceCore self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    if nargs == 0:
        raise TypeError("Namespace.emit() missing 1 required positional argument: 'evt'")
    if nargs > 1 and kwnames is not NULL and find_keyword(kwnames, <PyObject *>_SENDER) >= 0:
        raise TypeError("Namespace.emit() got multiple values for argument 'sender'")
    evt = <object>args[0]
    event = found(<dict>self, evt) if PyUnicode_CheckExact(evt) else None
    if event is None and self._cached and PyUnicode_CheckExact(evt):
        event = found(self._cached, evt)
        if isinstance(event, _tables.EventCore):
            (<_tables.EventCore>event)._is_used = True
    if event is None:
        event = self._find(evt)
        if event is None:
            return []
    if not has_plain_emit(event):  # overridden, or replaced by a test
        is_event = issubclass(type(event), _tables.EventCore)  # else it is a mock, say
        method = type(event).emit if is_event else event.emit
        given = as_dict(args + nargs, kwnames)
        positionals = as_tuple(args, 1, nargs) or (given.pop(_SENDER, ANY),)
        return method(event, *positionals, **given) if is_event else method(*positionals, **given)
    return emit(<_tables.EventCore>event, args + 1, nargs - 1, kwnames)


cdef object emit_bound(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    cdef PyObject *event = (<CyeBound *>self).event
    cdef PyObject *sender = (<CyeBound *>self).sender
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef Py_ssize_t size = nargs + names_in(kwnames)
    if size >= STACK_BUFFER or event is NULL or (nargs and args[0] is sender) or not is_plain(cye_type(event)):
        return call_bound(self, "emit", args, nargs, kwnames)
    stack_buffer[0] = sender
    cye_copy(stack_buffer + 1, args, size)
    if kwnames is not NULL:
        return emit(<_tables.EventCore>event, stack_buffer, nargs + 1, kwnames)
    return emit_array(event, stack_buffer, nargs + 1, NULL)


cdef object send_bound(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    return call_bound(self, "send", args, nargs, kwnames)


cdef object call_bound(PyObject *self, str name, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames):
    """Call a method of a bound event's class with the event and the sender before the other arguments."""
    cdef PyObject *event = (<CyeBound *>self).event
    cdef PyObject *sender = (<CyeBound *>self).sender
    cdef PyObject *stack_buffer[STACK_BUFFER]
    cdef PyObject **array
    cdef PyObject *returned
    if event is NULL:  # found by the garbage collector, while nothing uses it
        raise TypeError("this BoundEvent is not in use: take a new one from the sender")
    if nargs and args[0] is sender:
        (<object>self)._warn_sender_given(name, _tables._current_frame())
    has_plain_emit(<object>event)  # from now on it is known
    method = getattr(type(<object>event), name)
    array = copy_args(args, nargs + names_in(kwnames), stack_buffer)
    if array is NULL:
        already_raised()
    array[0] = event
    array[1] = sender
    returned = PyObject_Vectorcall(<PyObject *>method, array, nargs + 2, kwnames)
    if array is not stack_buffer:
        PyMem_Free(array)
    if returned is NULL:
        already_raised()
    results = <object>returned
    DECREF(returned)
    return results


cdef str _ANY_SENDER = "sender=cyevents._core._values.ANY_DEFAULT_TEXT, *args, **kwargs)"
cdef list _docs = []  # keeps alive what the definitions refer to
cdef PyMethodDef _definitions[7]
_definitions[0] = define(b"emit", <void *>emit, f"($self, /, {_ANY_SENDER}", tables.EventCore.emit.__doc__)
_definitions[1] = define(b"send", <void *>send, f"($self, /, {_ANY_SENDER}", tables.EventCore.send.__doc__)
_definitions[2] = define(b"emit", <void *>emit_named, f"($self, evt, /, {_ANY_SENDER}", tables.NamespaceCore.emit.__doc__)
_definitions[3] = define(b"send", <void *>send_signal, "($self, /, *args, **kwargs)", """\
Call the receivers for a sender, in order of connection, and return pairs of each receiver and its return value.
""")

_definitions[4] = define(b"emit", <void *>emit_bound, "($self, /, *args, **kwargs)", """\
Emit the event for this sender: the same as `event.emit(sender, *args, **kwargs)`, see `Event.emit`.
""")
_definitions[5] = define(b"send", <void *>send_bound, "($self, /, *args, **kwargs)", """\
Call the handlers for this sender, and return pairs of each and its return value: see `Event.send`.
""")
_definitions[6] = define(b"connect", <void *>connect, """\
($self, receiver=cyevents._core._values.MISSING_DEFAULT_TEXT, sender=cyevents._core._values.ANY_DEFAULT_TEXT, \
weak=True, priority=0, condition=None, *, once=False, with_event=False, thread=False, replay=False, via=None, \
overlap='parallel', limit=None, timeout=None)""", tables.EventCore.connect.__doc__)


cdef PyMethodDef define(bytes name, void *function, str signature, str doc):
    """Return the definition of a C function, with a docstring that has its signature."""
    cdef PyMethodDef definition
    text = f"{name.decode()}{signature}\n--\n\n{plain_doc(doc)}".encode()
    _docs.append((name, text))
    definition.ml_name = name
    definition.ml_meth = function
    definition.ml_flags = METH_FASTCALL | METH_KEYWORDS
    definition.ml_doc = text
    return definition


cdef str plain_doc(str doc):
    """Return a docstring without its signature and its indentation."""
    head, mark, rest = doc.partition("\n--\n\n")
    lines = (rest if mark else doc).split("\n")
    margin = min([len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()], default=0)
    return "\n".join(lines[:1] + [line[margin:] for line in lines[1:]])


cdef object install(cls, PyMethodDef *definition):
    """Put a method on a type, as if it had been written in it."""
    method = PyDescr_NewMethod(<PyTypeObject *>cls, definition)
    PyDict_SetItem(cye_dict(<PyObject *>cls), definition.ml_name.decode(), method)
    PyType_Modified(<PyTypeObject *>cls)
    return method


cdef object _emit = install(EventCore, &_definitions[0])
install(EventCore, &_definitions[1])
install(EventCore, &_definitions[6])
install(NamespaceCore, &_definitions[2])
install(SignalCore, &_definitions[3])
BoundCore = cye_make_bound_type()
install(BoundCore, &_definitions[4])
install(BoundCore, &_definitions[5])


def install_methods(cls):
    """Give `Event` or `Namespace` its own descriptors of the C functions that it inherits."""
    # The interpreter takes its fast path for a call of a C method only if the object's type is exactly that of the
    # descriptor: `event.emit(sender)` then costs some 12 % less. Subclasses inherit the methods as before.
    global _emit
    if not isinstance(cls, type) or not issubclass(cls, (EventCore, NamespaceCore)):
        raise TypeError(f"cls must be a class of events or of namespaces, not {typed_repr(cls)}")
    if issubclass(cls, EventCore):
        _emit = install(cls, &_definitions[0])
        install(cls, &_definitions[1])
        install(cls, &_definitions[6])
    else:
        install(cls, &_definitions[2])
    return cls


cdef extern from *:
    """
    #define CYE_QUOTE(text) #text
    #define CYE_TEXT(macro) CYE_QUOTE(macro)
    #ifdef CYE_OPTIMIZATION_emit
    #define CYE_OPTIMIZATION CYE_TEXT(CYE_OPTIMIZATION_emit) " (kernel), " CYE_TEXT(CYE_OPTIMIZATION_tables) " (tables)"
    #else
    #define CYE_OPTIMIZATION "unknown" /* not built by setup.py */
    #endif
    static PyObject *cye_optimization(void) { return PyUnicode_FromString(CYE_OPTIMIZATION); }
    """
    str cye_optimization()

optimization = cye_optimization()

# What the package takes from here, some of which are C names in this module
globals().update(
    {
        name: getattr(tables, name)
        for name in (
            "AwaitedDispatch", "Entry", "call_locked", "consume", "expect_death", "handler_key", "inherit_slots",
            "purge_dead", "put_call", "run_calls", "sender_key",
        )
    },
    CONDITION=_tables.CONDITION,
    DEAD=_tables.DEAD,
    DELIVERED=_tables.DELIVERED,
    ONCE=_tables.ONCE,
    REPLAY=_tables.REPLAY,
    THREAD=_tables.THREAD,
    WITH_EVENT=_tables.WITH_EVENT,
)
