"""Carries the OpenTelemetry context from process to process, if the program uses OpenTelemetry."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def carried_context() -> dict[str, str]:
    """Return the fields that identify the current span to other processes."""
    carrier: dict[str, str] = {}
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry import propagate

        propagate.inject(carrier)
    return carrier


def restored_context(carrier: Mapping[str, str]) -> contextlib.AbstractContextManager[None]:
    """Return a context manager that makes the carried span the current one."""
    return _attached(carrier) if carrier and "opentelemetry.trace" in sys.modules else contextlib.nullcontext()


@contextlib.contextmanager
def _attached(carrier: Mapping[str, str]) -> Any:
    from opentelemetry import context, propagate

    token = context.attach(propagate.extract(carrier))
    try:
        yield
    finally:
        context.detach(token)
