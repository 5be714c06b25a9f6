"""Extension of griffe for the API pages: complete what it finds in the source.

- The section `Example:` of a docstring is shown as code.
- `Event` and `Namespace` only declare the types of some methods. The core implements and documents them.
- `event`, `on`, `emit` and `emit_async` are functions with the docstrings of the methods that they are.
- Signatures show `ANY` instead of the name of its type, `...` instead of private defaults, and what `evt` can be.
- The members that every user needs come first.
"""

import griffe

CORES = {"Event": "EventCore", "Namespace": "NamespaceCore"}
FIRST_MEMBERS = {
    "Event": ("connect", "disconnect", "emit", "emit_async", "send"),
    "Namespace": ("event", "on", "connect", "emit", "emit_async"),
}
PRIVATE_DEFAULTS = {"FIRST", "MISSING", "UNNAMED"}
FUNCTIONS = ("event", "on", "emit", "emit_async")
ONE_EVENT = "str | Event"
SEVERAL_EVENTS = "str | Event | list[str | Event] | tuple[str | Event, ...]"


class Docstrings(griffe.Extension):
    """Completes the docstrings and signatures of cyevents."""

    def on_instance(self, *, obj, **_):
        """Rename the section to `Examples:`, which the parser of griffe recognizes, in one docstring."""
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")

    def on_package(self, *, pkg, **_):
        """Complete the package `cyevents`."""
        if pkg.name != "cyevents":
            return
        for name, core in CORES.items():
            documented = pkg["_core._tables"][core].functions
            for method in pkg[name].final_target.functions.values():
                if method.docstring is None and method.name in documented:
                    method.docstring = documented[method.name].docstring
        event = pkg["_event"]["Event"]
        event["connect"].parameters = pkg["_core._tables"]["EventCore"]["connect"].parameters
        for name in ("connect", "first", "first_async"):
            event[name].parameters["sender"].annotation = event["disconnect"].parameters["sender"].annotation
        module = pkg["_namespace"]
        for name in ("on", "connect", "emit", "emit_async"):
            parameters = module["Namespace"][name].parameters
            parameters["evt"].annotation = ONE_EVENT if name.startswith("emit") else SEVERAL_EVENTS
            parameters["sender"].default = "ANY"
        pkg["_handles"]["handles"].parameters["evt"].annotation = SEVERAL_EVENTS
        for name in FUNCTIONS:
            method = module["Namespace"][name]
            function = griffe.Function(
                name,
                lineno=method.lineno,
                parameters=griffe.Parameters(*(each for each in method.parameters if each.name != "self")),
                returns=method.returns,
                docstring=griffe.Docstring(method.docstring.value, lineno=method.docstring.lineno),
            )
            function.docstring.parent = function
            module.set_member(name, function)
        for name, first in FIRST_MEMBERS.items():
            members = pkg[name].final_target.members
            rest = [member for member in members if member not in first]
            for member in (*first, *rest):
                members[member] = members.pop(member)
        for name in ("_event", "_namespace", "_bound"):
            for owner in pkg[name].classes.values():
                for method in owner.functions.values():
                    for parameter in method.parameters:
                        show_any(parameter.annotation)
                        if str(parameter.default) in PRIVATE_DEFAULTS:
                            parameter.default = "..."


def show_any(annotation):
    """Replace `AnySender` by `ANY` in an annotation."""
    if isinstance(annotation, griffe.Expr):
        for part in annotation.iterate(flat=True):
            if isinstance(part, griffe.ExprName) and part.name == "AnySender":
                part.name = "ANY"
