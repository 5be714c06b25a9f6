/* The floor: the least that an emission can cost. It calls the handlers from C, collects their results and does nothing
   else. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    PyObject_HEAD
    PyObject *handlers;   /* a tuple */
    PyObject *conditions; /* a tuple as long, or NULL */
} Floor;

static int
floor_init(Floor *self, PyObject *args, PyObject *keywords)
{
    PyObject *handlers, *conditions = NULL;
    if (keywords != NULL && PyDict_Size(keywords)) {
        PyErr_SetString(PyExc_TypeError, "Floor takes no keywords");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "O!|O!:Floor", &PyTuple_Type, &handlers, &PyTuple_Type, &conditions)) {
        return -1;
    }
    if (conditions != NULL && PyTuple_GET_SIZE(conditions) != PyTuple_GET_SIZE(handlers)) {
        PyErr_SetString(PyExc_ValueError, "there must be as many conditions as handlers");
        return -1;
    }
    Py_XSETREF(self->handlers, Py_NewRef(handlers));
    Py_XSETREF(self->conditions, Py_XNewRef(conditions));
    return 0;
}

static int
floor_traverse(Floor *self, visitproc visit, void *arg)
{
    Py_VISIT(self->handlers);
    Py_VISIT(self->conditions);
    return 0;
}

static int
floor_clear(Floor *self)
{
    Py_CLEAR(self->handlers);
    Py_CLEAR(self->conditions);
    return 0;
}

static void
floor_dealloc(Floor *self)
{
    PyObject_GC_UnTrack(self);
    floor_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Call one handler with the caller's own argument array, and append its result unless it is None. */
static inline int
call_one(PyObject *handler, PyObject *const *args, Py_ssize_t nargs, PyObject *names, PyObject *results)
{
    PyObject *result = PyObject_Vectorcall(handler, args, nargs, names);
    int failed = 0;
    if (result == NULL) {
        return -1;
    }
    if (result != Py_None) {
        failed = PyList_Append(results, result);
    }
    Py_DECREF(result);
    return failed;
}

static PyObject *
floor_emit(Floor *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *handlers = self->handlers;
    Py_ssize_t count = PyTuple_GET_SIZE(handlers);
    PyObject *results = PyList_New(0);
    if (results == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (call_one(PyTuple_GET_ITEM(handlers, i), args, nargs, names, results) < 0) {
            Py_DECREF(results);
            return NULL;
        }
    }
    return results;
}

/* Call each condition, and its handler if the condition returned a true value. */
static PyObject *
floor_emit_if(Floor *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *handlers = self->handlers;
    PyObject *conditions = self->conditions;
    Py_ssize_t count = conditions == NULL ? 0 : PyTuple_GET_SIZE(handlers);
    PyObject *results = PyList_New(0);
    if (results == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *answer = PyObject_Vectorcall(PyTuple_GET_ITEM(conditions, i), args, nargs, names);
        int truth = answer == NULL ? -1 : PyObject_IsTrue(answer);
        Py_XDECREF(answer);
        if (truth < 0 || (truth && call_one(PyTuple_GET_ITEM(handlers, i), args, nargs, names, results) < 0)) {
            Py_DECREF(results);
            return NULL;
        }
    }
    return results;
}

static PyMethodDef floor_methods[] = {
    {"emit", (PyCFunction)(void (*)(void))floor_emit, METH_FASTCALL | METH_KEYWORDS, "Call all handlers."},
    {"emit_if", (PyCFunction)(void (*)(void))floor_emit_if, METH_FASTCALL | METH_KEYWORDS,
     "Call all handlers whose conditions are true."},
    {NULL},
};

static PyTypeObject floor_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor.Floor",
    .tp_doc = "Floor(handlers, conditions=None): the least that an emission to a tuple of handlers can cost.",
    .tp_basicsize = sizeof(Floor),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)floor_init,
    .tp_traverse = (traverseproc)floor_traverse,
    .tp_clear = (inquiry)floor_clear,
    .tp_dealloc = (destructor)floor_dealloc,
    .tp_methods = floor_methods,
};

static int
execute(PyObject *module)
{
    return PyModule_AddType(module, &floor_type);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "floor",
    .m_doc = "The least that an emission can cost.",
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_floor(void)
{
    return PyModuleDef_Init(&module);
}
