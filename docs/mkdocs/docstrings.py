"""Extension of griffe for the API pages: complete the docstrings that it finds in the source."""

import griffe


class Docstrings(griffe.Extension):
    """Shows the section `Example:` as code, and gives `emit` and the like the docstrings of the core.

    `Event` and `Namespace` only declare the types of methods that the core implements and documents.
    """

    def on_instance(self, *, obj, **_):
        """Rename the section to `Examples:`, which the parser of griffe recognizes, in one docstring."""
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")

    def on_package(self, *, pkg, **_):
        """Take over the docstrings of the core."""
        if pkg.name == "cyevents":
            for name, core in (("Event", "EventCore"), ("Namespace", "NamespaceCore")):
                documented = pkg["_core._tables"][core].functions
                for method in pkg[name].final_target.functions.values():
                    if method.docstring is None and method.name in documented:
                        method.docstring = documented[method.name].docstring
