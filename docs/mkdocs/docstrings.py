"""Extension of griffe for the API pages: show the section `Example:` of a docstring as code, not as a box of text."""

import griffe


class Examples(griffe.Extension):
    """Renames that section to `Examples:`, which the parser of griffe recognizes."""

    def on_instance(self, *, obj, **_):
        """Rename the section in one docstring."""
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
