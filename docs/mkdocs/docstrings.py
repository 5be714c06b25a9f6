"""An extension of griffe's, for the API's pages: the `Example:` of a docstring is code, not a box of text."""

import griffe


class Examples(griffe.Extension):
    """Names that section as griffe's parser knows it."""

    def on_instance(self, *, obj, **_):
        """Rename it in one docstring."""
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
