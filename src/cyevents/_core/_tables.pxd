# The C types of `_tables.py`, for itself and for the kernel, and the C functions that it has where it is compiled.

cimport cython
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    /* A number that another thread may set between two reads; nothing more is needed of it. */
    #if defined(Py_GIL_DISABLED) && !defined(_MSC_VER)
    #define CYE_INT _Atomic int
    #define CYE_BOOL _Atomic unsigned char
    #elif defined(Py_GIL_DISABLED)
    #define CYE_INT volatile int
    #define CYE_BOOL volatile unsigned char
    #else
    #define CYE_INT int
    #define CYE_BOOL unsigned char
    #endif

    static inline PyObject *cye_id(PyObject *object) { return PyLong_FromVoidPtr(object); }

    /* A dict's value for a key, or None, also for no dict. On free-threaded builds the value that `dict.get` finds, as
       Cython compiles it, may be freed by another thread before a reference to it is taken. */
    static inline PyObject *cye_get(PyObject *dict, PyObject *key) {
        PyObject *value;
        if (dict == Py_None) return Py_NewRef(Py_None);
    #if PY_VERSION_HEX >= 0x030D0000
        if (PyDict_GetItemRef(dict, key, &value) < 0) return NULL;
    #else
        value = Py_XNewRef(PyDict_GetItemWithError(dict, key));
        if (value == NULL && PyErr_Occurred()) return NULL;
    #endif
        return value ? value : Py_NewRef(Py_None);
    }

    static inline PyObject *cye_values(PyObject *dict) {
        return dict == Py_None ? PyList_New(0) : PyDict_Values(dict);
    }

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

    /* Whether the references to a function are counted as those to functions of modules and classes are on free-threaded
       builds: only the garbage collector frees it, while it keeps all other threads from running Python code. Until
       then its count is far higher than any number of references. */
    static inline int cye_is_deferred(PyObject *function) {
    #ifdef Py_GIL_DISABLED
        return Py_REFCNT(function) > PY_SSIZE_T_MAX / 16;
    #else
        return 0;
    #endif
    }

    /* `cye_deref`, for a reference to a function that may have been `cye_is_deferred` when the reference was made.

       For others, `PyWeakref_GetRef` takes one of a few locks that all threads share, and that lie side by side in
       memory: threads contend for them even if each calls handlers of its own. That is not needed if only the collector
       frees the function. It clears the references first, in one pause of all threads with the decision that the
       function is garbage, and no such pause happens between the lines below. A reference must be taken: a call has
       none that the collector sees. */
    static inline PyObject *cye_deref_function(PyObject *ref, int was_deferred) {
    #ifdef Py_GIL_DISABLED
        if (was_deferred) {
            PyObject *object = _Py_atomic_load_ptr(&((PyWeakReference *)ref)->wr_object);
            if (object == Py_None) return NULL;
            if (cye_is_deferred(object)) return Py_NewRef(object);  /* else Python exits, for example */
        }
    #else
        (void)was_deferred;
    #endif
        return cye_deref(ref);
    }

    static inline PyObject *cye_deref_or_none(PyObject *ref) {
        PyObject *object = cye_deref(ref);
        return object ? object : Py_NewRef(Py_None);
    }

    static inline int cye_is_gone(PyObject *ref) {
        PyObject *object = cye_deref(ref);
        if (object == NULL) return 1;
        Py_DECREF(object);
        return 0;
    }

    /* Whether the objects of a class may be bound methods, as far as that can be told at once: they can be called, and
       are neither functions nor types. */
    static inline int cye_can_be_method(PyObject *object) {
        PyTypeObject *type = Py_TYPE(object);
        return type->tp_call != NULL && type != &PyFunction_Type && !PyType_Check(object);
    }

    /* The two steps of calling a type. Like a call, they refuse what cannot be called so. */
    static inline PyObject *cye_make(PyObject *type) {
        PyObject *none, *made;
        if (!PyType_Check(type) || ((PyTypeObject *)type)->tp_new == NULL) {
            PyErr_SetString(PyExc_TypeError, "make must be a class of tasks");
            return NULL;
        }
        none = PyTuple_New(0);
        made = none ? ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, none, NULL) : NULL;
        Py_XDECREF(none);
        return made;
    }
    static inline int cye_initialise(PyObject *type, PyObject *made, PyObject *args, PyObject *keywords) {
        if (!PyObject_TypeCheck(made, (PyTypeObject *)type)) return 0;
        return Py_TYPE(made)->tp_init(made, args, keywords == Py_None ? NULL : keywords);
    }

    /* Whether the first parameter of a Python function is named `self`. */
    static inline int cye_takes_self(PyObject *function) {
        PyCodeObject *code = (PyCodeObject *)((PyFunctionObject *)function)->func_code;
        PyObject *name = code->co_argcount > 0 ? PyTuple_GET_ITEM(code->co_localsplusnames, 0) : NULL;
        return name != NULL && PyUnicode_GET_LENGTH(name) == 4 && PyUnicode_IS_ASCII(name)
            && memcmp(PyUnicode_DATA(name), "self", 4) == 0;
    }

    static inline PyObject *cye_qualname(PyObject *function) {
        return Py_NewRef(((PyFunctionObject *)function)->func_qualname);
    }

    static inline PyObject *cye_function_code(PyObject *function) {
        return Py_NewRef(((PyFunctionObject *)function)->func_code);
    }

    static inline PyObject *cye_frame_code(PyObject *frame) {
        if (!PyFrame_Check(frame)) {
            PyErr_SetString(PyExc_TypeError, "frame must be a frame or None");
            return NULL;
        }
        return (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
    }
    static inline int cye_frame_instruction(PyObject *frame) { return PyFrame_GetLasti((PyFrameObject *)frame); }

    /* How many times the lock is held. With a GIL, nobody else makes a change while that is zero. */
    #ifdef Py_GIL_DISABLED
    #define CYE_GIL 0
    #define cye_count_lock(change)
    #define cye_is_gil_alone() 0
    #else
    #define CYE_GIL 1
    static int cye_lock_count = 0;
    static inline void cye_count_lock(int change) { cye_lock_count += change; }
    static inline int cye_is_gil_alone(void) { return cye_lock_count == 0; }
    #endif

    static inline int cye_is_finalizing(void) {
    #if PY_VERSION_HEX >= 0x030D0000
        return Py_IsFinalizing();
    #else
        return _Py_IsFinalizing();
    #endif
    }

    /* The frame of the Python code that runs, or None. (sys._getframe, called from C, may find half a frame.) */
    static inline PyObject *cye_frame(void) {
        PyObject *frame = (PyObject *)PyEval_GetFrame();
        return Py_NewRef(frame ? frame : Py_None);
    }

    /* Let a new tuple of the same size take over a list's items. */
    static inline void cye_take_items(PyObject *tuple, PyObject *list) {
        Py_ssize_t count = PyList_GET_SIZE(list);
        if (count) memcpy(&PyTuple_GET_ITEM(tuple, 0), ((PyListObject *)list)->ob_item, count * sizeof(PyObject *));
        Py_SET_SIZE(list, 0);
    }
    static inline PyObject **cye_items(PyObject *list) { return ((PyListObject *)list)->ob_item; }

    /* Whether a weak reference has been cleared. With a GIL its object, whose memory may be far away, is not looked at. */
    static inline int cye_is_cleared(PyObject *ref) {
    #ifdef Py_GIL_DISABLED
        return cye_is_gone(ref);
    #else
        return ((PyWeakReference *)ref)->wr_object == Py_None;
    #endif
    }

    static inline int cye_refers_to(PyObject *ref, PyObject *object) {
        return ((PyWeakReference *)ref)->wr_object == object;
    }
    /* Whether a sender is surely compared by identity. */
    static inline int cye_is_identity_sender(PyObject *sender) {
        unsigned long by_value = Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_LONG_SUBCLASS | Py_TPFLAGS_BYTES_SUBCLASS;
        return !(PyType_GetFlags(Py_TYPE(sender)) & by_value) && !cye_can_be_method(sender);
    }
    static inline void cye_swap(PyObject **items, Py_ssize_t i, Py_ssize_t j) {
        PyObject *item = items[i];
        items[i] = items[j];
        items[j] = item;
    }

    /* Count a call in C as recursion. 3.12 and 3.13 allow a fixed number of them, for which a stack of the usual size
       has room if each takes no more of it than their own do: one of ours takes more, and counts as two. */
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

    /* `callable(sender, *args, **kwargs)`, for which nothing is allocated if there are few arguments. Recursion is counted
       but for Python functions, which do that by themselves. */
    #define CYE_STACK_BUFFER 12
    static inline PyObject *cye_call_with(PyObject *callable, PyObject *sender, PyObject *args, PyObject *kwargs) {
        PyObject *buffer[CYE_STACK_BUFFER];
        PyObject **array = buffer;
        PyObject *result = NULL;
        PyObject *own = NULL;
        Py_ssize_t count, i;
        int is_function = PyFunction_Check(callable);
        if (args == Py_None || kwargs == Py_None) {
            PyErr_SetString(PyExc_TypeError, "args and kwargs must not be None");
            return NULL;
        }
        count = PyTuple_GET_SIZE(args);
        if (count + 2 > CYE_STACK_BUFFER && (array = PyMem_New(PyObject *, count + 2)) == NULL) return PyErr_NoMemory();
        array[1] = sender;
        for (i = 0; i < count; i++) array[i + 2] = PyTuple_GET_ITEM(args, i);
        if (PyDict_GET_SIZE(kwargs) == 0) kwargs = NULL;
        else if (PyVectorcall_Function(callable) == NULL && (kwargs = own = PyDict_Copy(kwargs)) == NULL) goto done;
        if (is_function || !cye_enter(" in an emission")) {
            result = PyObject_VectorcallDict(callable, array + 1, (count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, kwargs);
            if (!is_function) cye_leave();
        }
    done:
        Py_XDECREF(own);
        if (array != buffer) PyMem_Free(array);
        return result;
    }

    /* Run a call that was in a mailbox: see `put_call`. */
    static inline PyObject *cye_run_call(PyObject *call) {
        PyObject *args, *kwargs;
        if (PyTuple_Check(call) && PyTuple_GET_SIZE(call) == 7) {
            args = PyTuple_GET_ITEM(call, 5);
            kwargs = PyTuple_GET_ITEM(call, 6);
            if (PyTuple_Check(args) && PyDict_Check(kwargs))
                return cye_call_with(PyTuple_GET_ITEM(call, 2), PyTuple_GET_ITEM(call, 4), args, kwargs);
        }
        PyErr_SetString(PyExc_TypeError, "take must return calls");
        return NULL;
    }

    /* Resume a coroutine, in a context if there is one. Return what it yields or returns; `is_done` tells which. */
    static inline PyObject *cye_step(PyObject *context, PyObject *coroutine, int *is_done) {
        PyObject *result = NULL;
        if (cye_enter(" in an emission")) return NULL;
        if (context == Py_None || PyContext_Enter(context) == 0) {
            *is_done = PyIter_Send(coroutine, Py_None, &result) == PYGEN_RETURN;
            if (context != Py_None && PyContext_Exit(context) < 0) Py_CLEAR(result);
        }
        cye_leave();
        return result;
    }

    /* A copy of the current context, in which a variable is set. */
    static inline PyObject *cye_copy_context(PyObject *variable, PyObject *value) {
        PyObject *token = NULL;
        PyObject *context = PyContext_CopyCurrent();
        if (context == NULL) return NULL;
        if (PyContext_Enter(context) == 0) {
            token = PyContextVar_Set(variable, value);
            if (PyContext_Exit(context) < 0) Py_CLEAR(token);
        }
        if (token == NULL) Py_CLEAR(context);
        Py_XDECREF(token);
        return context;
    }

    /* A context variable's value. It has a default. */
    static inline PyObject *cye_get_variable(PyObject *variable) {
        PyObject *value;
        return PyContextVar_Get(variable, NULL, &value) < 0 ? NULL : value;
    }

    /* Put what a generator yields into a list, without None; return whether it returned `False`, or -1 for an error. */
    static inline int cye_run_generator(PyObject *generator, PyObject *items) {
        PyObject *item;
        int status = 0;
        while (status == 0) {
            PySendResult outcome = PyIter_Send(generator, Py_None, &item);
            if (outcome == PYGEN_ERROR) return -1;
            if (outcome == PYGEN_RETURN) {
                status = item == Py_False;
                Py_DECREF(item);
                return status;
            }
            if (item != Py_None) status = PyList_Append(items, item);
            Py_DECREF(item);
        }
        return status;
    }

    /* Raise an error again in the function that has caught it, without the entry in its traceback that it has got there:
       it gets one when the function is left.

       Where this is called in an `except` clause with a name, that clause must not return, continue or break: without
       memory for a traceback, the code that Cython makes of that would release a NULL. */
    static inline int cye_reraise(PyObject *error) {
        PyObject *trace = PyException_GetTraceback(error);
        PyObject *next = trace != NULL ? (PyObject *)((PyTracebackObject *)trace)->tb_next : NULL;
        PyException_SetTraceback(error, next != NULL ? next : Py_None);  /* restoring NULL leaves the old one on 3.14 */
        PyErr_Restore(Py_NewRef(Py_TYPE(error)), Py_NewRef(error), Py_XNewRef(next));
        Py_XDECREF(trace);
        return -1;
    }

    /* Raise an exception that is set although the last call has succeeded: without memory for a frame, `f_back` is None
       on CPython 3.11. */
    static inline int cye_raise_pending(void) { return PyErr_Occurred() != NULL ? -1 : 0; }

    /* Give a class the functions that `await` uses of its base. */
    static inline int cye_inherit_slots(PyObject *cls, PyObject *base) {
        PyTypeObject *type = (PyTypeObject *)cls;
        if (type->tp_flags & Py_TPFLAGS_HEAPTYPE && type->tp_as_async != NULL) {
            type->tp_iternext = ((PyTypeObject *)base)->tp_iternext;
            type->tp_as_async->am_await = ((PyTypeObject *)base)->tp_as_async->am_await;
        }
        return 0;
    }

    /* Keep Python code from making instances of a type: the core would trust them, and they would have no contents. */
    static inline int cye_forbid_new(PyObject *cls) {
        PyTypeObject *type = (PyTypeObject *)cls;
        type->tp_new = NULL;
        type->tp_vectorcall = NULL;  /* Cython's goes to its own function for making instances */
        type->tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
        if (PyDict_DelItemString(type->tp_dict, "__new__") < 0) return -1;
        PyType_Modified(type);
        return 0;
    }
    """
    ctypedef class _weakref.ReferenceType [object PyWeakReference, check_size ignore]:
        pass
    ctypedef int cye_int "CYE_INT"
    ctypedef bint cye_bool "CYE_BOOL"
    object id "cye_id"(object)
    object found "cye_get"(dict, object key)
    list values_of "cye_values"(dict)
    object _deref "cye_deref_or_none"(object ref)
    bint _is_gone "cye_is_gone"(object ref) noexcept
    tuple cye_new_tuple "PyTuple_New"(Py_ssize_t count)
    void cye_take_items(tuple, list) noexcept
    PyObject **cye_items(list) noexcept
    bint cye_is_cleared(PyObject *ref) noexcept
    bint cye_refers_to(PyObject *ref, PyObject *object) noexcept
    bint cye_is_identity_sender(PyObject *sender) noexcept
    void cye_swap(PyObject **items, Py_ssize_t i, Py_ssize_t j) noexcept
    size_t _address_of "(size_t)"(object) noexcept
    bint _can_be_method "cye_can_be_method"(object) noexcept
    bint _is_str "PyUnicode_Check"(object) noexcept
    bint _is_int "PyLong_Check"(object) noexcept
    bint _is_bytes "PyBytes_Check"(object) noexcept
    object _make_instance "cye_make"(object cls)
    int _initialise "cye_initialise"(object cls, object made, tuple args, dict keywords) except -1
    bint _takes_self "cye_takes_self"(object function) noexcept
    object _function_code "cye_function_code"(object function)
    str _qualname "cye_qualname"(object function)
    object _code_of "cye_frame_code"(object frame)
    int _instruction_of "cye_frame_instruction"(object frame) noexcept
    object _current_frame "cye_frame"()
    object _caller "cye_frame"()
    bint CYE_GIL
    void _count_lock "cye_count_lock"(int change) noexcept
    bint _is_gil_alone "cye_is_gil_alone"() noexcept
    bint _is_finalizing "cye_is_finalizing"() noexcept
    object call_with "cye_call_with"(object callable, object sender, tuple args, dict kwargs)
    void _untrack "PyObject_GC_UnTrack"(object) noexcept
    void _track "PyObject_GC_Track"(object) noexcept
    object _step "cye_step"(object context, object coroutine, int *is_done)
    object _get_variable "cye_get_variable"(object variable)
    object _set_variable "PyContextVar_Set"(object variable, object value)
    int _reset_variable "PyContextVar_Reset"(object variable, object token) except -1
    object _copy_context_with "cye_copy_context"(object variable, object value)
    object _run_call "cye_run_call"(object call)
    bint _run_generator "cye_run_generator"(object generator, list items) except -1
    int _reraise "cye_reraise"(object error) except -1
    int _raise_pending "cye_raise_pending"() except -1
    int _inherit_slots "cye_inherit_slots"(object cls, object base) except -1
    int _forbid_new "cye_forbid_new"(object cls) except -1
    unsigned long get_ident "PyThread_get_thread_ident"() noexcept
    PyObject *cye_deref(PyObject *ref) noexcept
    PyObject *cye_deref_function(PyObject *ref, bint was_deferred) noexcept
    bint _is_deferred "cye_is_deferred"(object function) noexcept
    int cye_enter(const char *where) noexcept
    void cye_leave() noexcept

# C variables, since at exit the module's own names may have been cleared.
cdef object weakref, CodeType, CoroutineType, FunctionType, MethodType
cdef object ANY, MISSING, PARALLEL, Cancelled, is_discarding_call_result, is_at_call, is_returning, kind_of_result, not_an_event, typed_repr
cdef object bind, definition_of, may_be_method, method_parts, warn_vanished_sender
cdef object sys, _innermost
cdef object _acquire, _release, _is_owned, _reset_lock, _on_dead
cdef int AWAITABLE, GENERATOR, VALUE, SEQUENTIAL, PAIRS, FIRST
cdef list _pending_removals
cdef LastConnection _last
cdef Snapshot _EMPTY
cdef tuple _PACKAGES
cdef frozenset _PLAIN

cdef enum:
    DEAD = 1
    REPLACED = 2
    ONCE = 4
    WITH_EVENT = 8
    CONDITION = 16
    THREAD = 32
    BOUND = 64
    HELD = 128
    FOREIGN = 256
    REPLAY = 512
    OWN_CONDITION = 1024
    DELIVERED = 2048
    FILTERED = 1
    WATCHED = 2
    HIDDEN = 4
    PATTERN_FILTERED = 8
    EVENTS_FILTERED = 16
    RECORDED = 32


cdef class EventCore
cdef class AwaitedDispatch
cdef class NamespaceCore


@cython.final
cdef class LastConnection:
    cdef readonly long long serial
    cdef long long subscribed
    cdef str name
    cdef Ref sender
    cdef object code
    cdef unsigned long thread
    cdef int instruction
    cdef int begin(self, object code, int instruction, str name) except -1
    cdef bint is_newest(self, Entry entry) except -1
    cdef bint is_subscribed(self, Entry entry) except -1
    cdef int note_subscription(self, Entry entry) except -1
    cdef Ref replace_sender(self, Ref sender, unsigned long thread)
    cdef tuple get(self)


@cython.final
cdef class Place:
    cdef object home
    cdef object key


cdef class Ref(ReferenceType):
    cdef Place place
    cdef readonly object handler_key


@cython.final
cdef class Entry(Ref):
    cdef readonly cye_int flags
    cdef cye_bool claims
    cdef cye_bool may_vanish
    cdef unsigned char _warned
    cdef unsigned char was_deferred
    cdef readonly object held
    cdef readonly object priority
    cdef readonly long long serial
    cdef object _condition
    cdef readonly str name
    cdef long long chain
    cdef tuple superseded
    @cython.locals(flags=int)
    cpdef object get(self)
    @cython.locals(flags=int)
    cdef bint is_alive(self) except -1
    @cython.locals(flags=int)
    cpdef bint is_inactive(self) except -1
    @cython.locals(home=EventCore, entry=Entry)
    cdef bint _is_chain_connected(self) except -1
    @cython.locals(is_claimed=bint)
    cdef bint claim(self) except -1
    cdef bint is_used_up(self) except -1
    cdef bint is_usable(self) except -1


@cython.final
cdef class Group:
    cdef Place place
    cdef object sender
    cdef dict entries
    cdef cye_bool is_removed
    cdef size_t address  # of the sender
    cdef bint is_for(self, object sender) except -1
    cdef object get_sender(self)


@cython.final
cdef class Snapshot:
    cdef readonly tuple entries
    cdef Group group
    cdef dict by_sender
    cdef list by_address


cdef class Dispatch:
    cdef readonly EventCore event
    cdef readonly object sender
    cdef readonly tuple args
    cdef readonly dict kwargs
    cdef readonly list results
    cdef public list errors
    cdef readonly object watch
    cdef bint has_cancel
    cdef public object reason
    cdef readonly int mode
    @cython.final
    @cython.locals(entry=Entry)
    cdef object call_all(self, tuple entries)
    @cython.final
    @cython.locals(given=dict)
    cdef object turn(self, Entry entry)
    @cython.final
    @cython.locals(given=dict)
    cdef object send_turn(self, Entry entry)
    @cython.final
    cdef dict _begin_turn(self, Entry entry, object handler)
    @cython.final
    @cython.locals(is_met=bint)
    cdef bint _should_call(self, Entry entry, object handler) except -1
    @cython.final
    @cython.locals(kind=int, items=list, cancels=bint)
    cdef bint take_result(self, object result, Entry entry, object handler) except -1
    @cython.final
    cdef bint take_error(self, object error, Entry entry, object handler, dict given, bint takes_result) except -1
    @cython.final
    @cython.locals(cancel=tuple)
    cdef bint _apply_error_policy(self, object error, object handler) except -1
    cdef int _take_awaitable(self, object result, int kind, Entry entry, object handler) except -1
    cdef bint _call_in_thread(self, object call, dict given, object handler) except -1
    cdef int _collect_error(self, object error) except -1


@cython.final
cdef class Nesting:
    cdef Nesting outer
    cdef long depth
    cdef cye_bool is_over
    @cython.locals(nesting=Nesting, depth=long)
    cdef long _recount(self) except -1


cdef class AwaitedDispatch(Dispatch):
    cdef readonly tuple entries
    cdef readonly object outcome
    cdef public object canceller
    cdef public object cancelling
    cdef public object interruption
    cdef public object loop
    cdef public object make
    cdef public dict keywords
    cdef public tuple methods
    cdef readonly list tasks
    cdef readonly list handlers
    cdef readonly list result_slots
    cdef public list error_positions
    cdef public bint has_gaps
    cdef Py_ssize_t _index
    cdef object _stopper
    cdef object _coroutine
    cdef object _context
    cdef object _handler
    cdef object _yielded
    cdef tuple _thrown
    cdef bint _has_suspended
    cdef int _is_done
    cdef bint _has_begun
    cdef bint _has_started
    cdef bint _is_running
    cdef bint _is_over
    cdef Nesting _nesting
    cdef object _token
    cdef int _enter(self) except -1
    cdef object _start(self)
    cdef object _advance(self, object value, tuple thrown)
    @cython.locals(entry=Entry)
    cdef bint _call_entries(self) except -1
    @cython.locals(entry=Entry, following=Entry)
    cdef bint _is_last(self) except -1
    cdef int _finish(self) except -1
    @cython.locals(nesting=Nesting)
    cdef int _end(self) except -1
    @cython.locals(nesting=Nesting, event=EventCore)
    cdef int _begin(self) except -1
    cdef object _resume(self, object value)
    cdef object _step_by_method(self, object value)
    cdef object _take_value(self, object value)
    cdef bint _take_failure(self, object error) except -1
    cdef bint _leave_coroutine(self) except -1
    cdef int _note_interruption(self, object error) except -1
    cdef int _start_task(self, object coroutine, object handler) except -1
    cdef object _make_task(self, object coroutine)
    @cython.locals(count=Py_ssize_t, has_value=bint, methods=tuple)
    cdef object _add_task(self, object task, object handler)


@cython.trashcan(True)  # as in the source, where the kernel's class does not see it
cdef class EventCore:
    cdef Group _any
    cdef cye_int _slow_path_flags
    cdef public cye_bool _is_checked
    cdef public cye_bool _is_used
    cdef public cye_bool _is_sequential
    cdef public cye_bool _is_sequential_set
    cdef dict _groups
    cdef list _senders
    cdef Snapshot _general
    cdef readonly dict _patterns
    cdef dict _matched_events
    cdef readonly dict _mutes
    cdef readonly list _dead_handler_names
    cdef readonly object _observer
    cdef public NamespaceCore _namespace
    cdef object __weakref__

    cdef Snapshot _load_general(self)
    cdef object _connect_given(
        self, object receiver, object sender, object weak, object priority, object condition, object once,
        object with_event, object thread, object replay, object via, object overlap, object limit, object timeout,
    )
    cdef int _store_general(self, Snapshot snapshot) except -1
    cdef dict _load_by_sender(self, Snapshot general)
    @cython.locals(by_sender=dict)
    cdef dict _make_by_sender(self, Snapshot general)
    cdef bint _is_built(self, Snapshot snapshot) except -1
    cdef int _finish(self, Snapshot snapshot, tuple entries) except -1
    cdef int _store_place(self, Place place) except -1
    cdef object _load_observer(self)
    cdef object _replace_observer(self, object observer)

    cdef object _emitted(self, object sender, tuple args, dict kwargs)
    @cython.locals(entry=Entry, dispatch=Dispatch, results=list, is_plain=bint)
    cdef object _run(self, tuple entries, object sender, tuple args, dict kwargs)
    cdef object _sent(self, object sender, tuple args, dict kwargs)

    cpdef tuple _begin_emission(self, object sender, tuple args, dict kwargs)
    @cython.locals(snapshot=Snapshot, is_built=bint)
    cdef Snapshot _find_snapshot(self, object sender)
    @cython.locals(group=Group, general=Snapshot, snapshot=Snapshot, made=Snapshot, by_sender=dict)
    cdef Snapshot _look_up(self, object sender)
    @cython.locals(table=list)
    cdef object _index_snapshot(self, Snapshot general, dict by_sender, Snapshot snapshot)
    @cython.locals(table=list, group=Group)
    cdef int _make_room(self, dict groups) except -1
    @cython.locals(group=Group, source=EventCore)
    cdef Group _sender_group(self, object key, object sender)
    @cython.locals(source=EventCore, group=Group)
    cdef Snapshot _build(self, Snapshot snapshot, object sender)
    @cython.locals(
        source=EventCore, other=Group, entry=Entry, chosen=dict, muted=set, general=list, special=list, own=list, entries=list
    )
    cdef list _chosen(self, Group group, object sender)
    cdef Py_ssize_t _count(self) except -1
    @cython.locals(entry=Entry, keys=set)
    cdef bint _are_distinct(self, list entries) except -1
    @cython.locals(entry=Entry, entries=list, muted=set)
    cdef list _unmuted_entries(self, Group group)
    @cython.locals(muted=set)
    cdef set _muted_keys(self)

    @cython.locals(entry=Entry, place=Place, instruction=int, to_release=list)
    cdef Entry _enter(
        self, object handler, object sender, bint weak, object priority, object condition, int flags, str name,
        object frame, list made
    )
    @cython.locals(group=Group, last_sender=Ref)
    cdef int _enter_locked(
        self, Entry entry, object sender, object code, int instruction, list made, list to_release
    ) except -1
    @cython.locals(group=Group, previous=Entry, entries=dict)
    cdef Group _put(self, Entry entry, object sender, list to_release, list made=*)
    cdef bint _replace(self, dict entries, Entry previous, Entry entry, list to_release, list made) except -1
    @cython.locals(group=Group)
    cdef bint _is_atomic(self, object sender, Place place, list to_release) except -1
    @cython.locals(group=Group, place=Place)
    cdef Place _place(self, object key)
    cdef Group _group_at(self, object key)
    @cython.locals(group=Group)
    cdef Entry _entry_at(self, object key, object handler)
    @cython.locals(entry=Entry)
    cdef Entry _entry_of(self, Ref dead)
    @cython.locals(group=Group, added=Group, ref=Ref, event=EventCore, groups=dict)
    cdef Group _group_for(self, Place place, object sender, list to_release)
    @cython.locals(entry=Entry, groups=dict, entries=list)
    cdef object _drop_group(self, Group group, bint only_if_empty, list to_release)
    @cython.locals(group=Group)
    cdef int _prune_empty_group(self, object key, list to_release) except -1
    cdef int _invalidate(self, object key, list to_release) except -1
    @cython.locals(event=EventCore)
    cdef int _discard_stale(self, object key, list to_release) except -1
    @cython.locals(general=Snapshot, snapshot=Snapshot, by_sender=dict)
    cdef int _discard_snapshots(self, object key, list to_release) except -1
    @cython.locals(group=Group, place=Place, entries=dict)
    cdef bint _remove(self, Entry entry, list to_release) except -1
    @cython.locals(group=Group, entry=Entry, names=list)
    cdef object _remove_dead(self, Ref dead, bint is_logged, list to_release, list never_called)
    @cython.locals(to_release=list, is_removed=bint)
    cdef bint _disconnect_one(self, Entry entry, object key, object sender) except -1
    @cython.locals(group=Group, groups=list, is_removed=bint)
    cdef bint _disconnect_locked(self, Entry entry, object key, object sender, list to_release) except -1
    @cython.locals(entry=Entry)
    cdef bint _remove_from(self, Group group, object key, list to_release) except -1


cdef class NamespaceCore(dict):
    cdef readonly dict _cached
    cdef public cye_bool _is_sequential


@cython.locals(home=EventCore, entry=Entry, sender=Ref, thread="unsigned long", instruction=int)
cpdef object _on_weakref_dead(Ref dead)
cdef object _user_frame()
@cython.locals(home=EventCore)
cdef int _queue_removal(Entry entry) except -1
@cython.locals(home=EventCore, entry=Entry, to_release=list, never_called=list, is_done=bint)
cpdef object purge_dead()
@cython.locals(home=EventCore, dead=Ref)
cdef bint _purge_locked(list to_release, list never_called) except -1
cdef object _change(object step, tuple args)
cdef object _run_locked(object function, tuple args)
cdef int _free_lock_at_exit() except -1
cdef int _take_lock() except -1
cdef int _drop_lock() except -1
cpdef object handler_key(object handler)
cpdef object sender_key(object sender)
@cython.locals(entry=Entry)
cdef Entry _make_entry(
    object handler, bint weak, object priority, object condition, int flags, str name, Place place
)
@cython.locals(ref=Ref)
cdef object _make_function_ref(object function, object key, Place place)
@cython.locals(group=Group)
cdef Group _make_group(Place place, object sender)
@cython.locals(snapshot=Snapshot)
cdef Snapshot _make_snapshot(Group group)
cpdef object _by_serial(Entry entry)
@cython.locals(entry=Entry, tiers=dict, tier=list)
cdef list _by_priority(object entries)
@cython.locals(
    entry=Entry, previous=Entry, usable=list, ordered=tuple, is_complete=bint, is_ordered=bint, is_uniform=bint
)
cdef tuple _in_order(list entries)
cdef Entry _latest_valid(Entry entry)
cdef bint _is_alive(Entry entry, list to_release) except -1
cdef bint _is_live(Group group, Entry entry) except -1
@cython.locals(entry=Entry)
cdef int _check_entries(tuple entries) except -1
@cython.locals(nesting=Nesting, outer=Nesting)
cdef Nesting _make_nesting()
@cython.locals(dispatch=AwaitedDispatch)
cdef AwaitedDispatch _make_awaited(
    object cls, object loop, EventCore event, object sender, tuple args, dict kwargs, list results, tuple entries,
    int mode
)
@cython.locals(dispatch=Dispatch)
cdef Dispatch _make_dispatch(EventCore event, object sender, tuple args, dict kwargs, list results, int mode)
@cython.locals(flags=int)
cdef object _connect_checked(
    EventCore event, object receiver, object sender, object weak, object priority, object condition, object once,
    object with_event, object thread, object replay, object frame, list made,
)
cpdef object expect_death(Entry entry)
@cython.locals(places=list, armed=list)
cpdef object put_call(tuple parts, tuple call)
@cython.locals(count=int, entry=Entry)
cpdef tuple run_calls(list places, object take, int limit)


# Dispatch order. The entries come from the tables in order of registration, but for a few that were moved: so the common
# case is one pass, other priorities are one pass more, and entries out of order are merged, since they form a few runs.

cdef enum:
    MAX_TIERS = 64
    PRIORITY_SLOTS = 256  # a hash table of the objects that are priorities: equal ones may be several


cdef struct Tier:  # the entries of one priority
    long long priority
    Py_ssize_t count
    Py_ssize_t end  # where the next entry goes


cdef inline tuple _as_tuple_in_order(list entries):
    """Return the entries in dispatch order, and empty the list; None if `_in_order` must do it."""
    cdef Py_ssize_t count = len(entries)
    cdef tuple ordered = cye_new_tuple(count)  # other code may run meanwhile, but not from here on
    if len(entries) != count or not _put_in_order(entries):
        return None
    cye_take_items(ordered, entries)
    return ordered


cdef inline bint _put_in_order(list entries) noexcept:
    """Put entries in dispatch order; return False if `_in_order` must do it, for example because one is dead.

    It calls no code that could change the list. What the garbage collector lets Python code put into it is refused.
    """
    cdef PyObject **items = cye_items(entries)
    cdef Py_ssize_t count = len(entries)
    cdef Py_ssize_t i
    cdef PyObject *priority = NULL
    cdef PyObject **buffer
    cdef long long serial = 0
    cdef bint is_uniform = True
    cdef bint is_ordered = True
    for i in range(count):
        if type(<object>items[i]) is not Entry:
            return False
        if not (<Entry>items[i]).flags & HELD and cye_is_cleared(items[i]):
            return False
        if (<Entry>items[i]).flags & ONCE and not (<Entry>items[i]).claims:
            return False
        if not (<Entry>items[i]).may_vanish:
            (<Entry>items[i]).may_vanish = True
        if <PyObject *>(<Entry>items[i]).priority is not priority:
            is_uniform = is_uniform and i == 0
            priority = <PyObject *>(<Entry>items[i]).priority
        if (<Entry>items[i]).serial < serial:
            is_ordered = False
        serial = (<Entry>items[i]).serial
    if is_uniform and is_ordered:
        return True
    buffer = <PyObject **>PyMem_Malloc(count * (sizeof(PyObject *) + 1))
    if buffer is NULL:
        return False
    if not is_ordered:
        _merge_runs(items, buffer, count)
    if not is_uniform:
        is_uniform = _group_by_priority(items, buffer, count)
    PyMem_Free(buffer)
    return is_uniform


cdef inline bint _group_by_priority(PyObject **items, PyObject **buffer, Py_ssize_t count) noexcept:
    """Put the entries of higher priorities first, without changing their order otherwise; return False if it cannot."""
    cdef Tier tiers[MAX_TIERS]
    cdef unsigned char order[MAX_TIERS]  # tiers by falling priority
    cdef PyObject *known[PRIORITY_SLOTS]
    cdef unsigned char tier_of[PRIORITY_SLOTS]
    cdef unsigned char *tier_at = <unsigned char *>(buffer + count)  # of each entry
    cdef PyObject *priority
    cdef long long value
    cdef int overflow
    cdef Py_ssize_t i, j, slot, end
    cdef Py_ssize_t tier_count = 0
    cdef Py_ssize_t known_count = 0
    memset(known, 0, sizeof(known))
    for i in range(count):
        priority = <PyObject *>(<Entry>items[i]).priority
        slot = (<size_t>priority // 16) % PRIORITY_SLOTS
        while known[slot] is not NULL and known[slot] is not priority:
            slot = (slot + 1) % PRIORITY_SLOTS
        if known[slot] is NULL:
            if not PyLong_CheckExact(<object>priority):  # of another type, whose `__index__` may run any code
                return False
            value = PyLong_AsLongLongAndOverflow(<object>priority, &overflow)
            known_count += 1
            if overflow or known_count == PRIORITY_SLOTS:
                return False
            j = 0
            while j < tier_count and tiers[j].priority != value:
                j += 1
            if j == tier_count:
                if tier_count == MAX_TIERS:
                    return False
                tiers[j].priority = value
                tiers[j].count = 0
                tier_count += 1
                end = j
                while end > 0 and tiers[order[end - 1]].priority < value:
                    order[end] = order[end - 1]
                    end -= 1
                order[end] = <unsigned char>j
            known[slot] = priority
            tier_of[slot] = <unsigned char>j
        tier_at[i] = tier_of[slot]
        tiers[tier_of[slot]].count += 1
    end = 0
    for j in range(tier_count):
        tiers[order[j]].end = end
        end += tiers[order[j]].count
    for i in range(count):
        j = tier_at[i]
        buffer[tiers[j].end] = items[i]
        tiers[j].end += 1
    memcpy(items, buffer, count * sizeof(PyObject *))
    return True


cdef inline void _merge_runs(PyObject **items, PyObject **buffer, Py_ssize_t count) noexcept:
    """Put entries in order of registration: merge neighbouring runs that are in order until there is only one."""
    cdef Py_ssize_t start, middle, end, i, j, k
    start = 1
    while start:  # the pass below has found more than one run
        start = end = 0
        while True:
            middle = _run_end(items, start, count)
            if middle == count:
                break
            end = _run_end(items, middle, count)
            i, j = start, middle
            for k in range(start, end):
                if j == end or (i < middle and (<Entry>items[i]).serial < (<Entry>items[j]).serial):
                    buffer[k] = items[i]
                    i += 1
                else:
                    buffer[k] = items[j]
                    j += 1
            memcpy(items + start, buffer + start, (end - start) * sizeof(PyObject *))
            if end == count:
                break
            start = end


cdef inline Py_ssize_t _run_end(PyObject **items, Py_ssize_t start, Py_ssize_t count) noexcept:
    """Return the end of the run that begins at an index below `count`."""
    start += 1
    while start < count and (<Entry>items[start - 1]).serial < (<Entry>items[start]).serial:
        start += 1
    return start


# Tables by address: lists, whose length is a power of 2, of groups or snapshots, each at the first free place from where
# the address of its sender says. They are only used with a GIL, and change without interruption by other code.

cdef inline list _make_table(Py_ssize_t count):
    """Return an empty table that has room for more than so many."""
    cdef Py_ssize_t size = 8
    while size < 2 * count:
        size *= 2
    return [None] * size


cdef inline bint _has_room(list table, Py_ssize_t count) noexcept:
    """Return whether so many leave enough free places for a short search."""
    return 3 * count <= 2 * len(table)


cdef inline Py_ssize_t _first_place(size_t address, Py_ssize_t size) noexcept:
    cdef size_t mixed = (address // 16) * <size_t>0x9E3779B97F4A7C15
    return <Py_ssize_t>((mixed ^ (mixed >> (4 * sizeof(size_t)))) & <size_t>(size - 1))


cdef inline PyObject *_group_in(PyObject *item) noexcept:
    """Return the group of what is in a table; NULL at a free place."""
    if type(<object>item) is Snapshot:
        item = <PyObject *>(<Snapshot>item).group
    return item if type(<object>item) is Group else NULL


cdef inline PyObject *find_by_address(list table, PyObject *sender) noexcept:
    """Return what a table has for the address of an object, which need not be for that object; NULL if nothing."""
    cdef Py_ssize_t size = len(table)
    cdef Py_ssize_t i
    cdef PyObject *group
    if size:
        i = _first_place(<size_t>sender, size)
        for _ in range(size):
            group = _group_in(cye_items(table)[i])
            if group is NULL:
                break
            if (<Group>group).address == <size_t>sender:
                return cye_items(table)[i]
            i = (i + 1) & (size - 1)
    return NULL


cdef inline int _put_by_address(list table, object item) except -1:
    cdef Py_ssize_t size = len(table)
    cdef PyObject *group = _group_in(<PyObject *>item)
    cdef Py_ssize_t i
    if size and group is not NULL:
        i = _first_place((<Group>group).address, size)
        for _ in range(size):
            if cye_items(table)[i] is <PyObject *>None:
                table[i] = item
                break
            i = (i + 1) & (size - 1)
    return 0


cdef inline int _remove_by_address(list table, object item) except -1:
    """Remove an item, and move up those that had to make way for it."""
    cdef Py_ssize_t size = 0 if table is None else len(table)
    cdef PyObject *group = _group_in(<PyObject *>item)
    cdef Py_ssize_t i, j
    if not size or group is NULL:
        return 0
    i = _first_place((<Group>group).address, size)
    for _ in range(size):
        if cye_items(table)[i] is <PyObject *>item:
            break
        i = (i + 1) & (size - 1)
    else:
        return 0
    table[i] = None
    j = i
    for _ in range(size):
        j = (j + 1) & (size - 1)
        group = _group_in(cye_items(table)[j])
        if group is NULL:
            break
        if ((j - _first_place((<Group>group).address, size)) & (size - 1)) >= ((j - i) & (size - 1)):
            cye_swap(cye_items(table), i, j)
            i = j
    return 0


cdef inline bint is_sender(PyObject *group, PyObject *sender) noexcept:
    """Return `Group.is_for`, for a group that was found by the address of the sender. With a GIL only."""
    cdef PyObject *held = <PyObject *>(<Group>group).sender
    if (<Group>group).is_removed:
        return False
    return cye_refers_to(held, sender) if type(<object>held) is Ref else held is sender
