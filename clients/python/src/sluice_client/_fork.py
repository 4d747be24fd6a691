"""What must happen in a process that was forked from one that sends: threads are gone, locks may be held for ever."""

import os
import weakref
from typing import Any

_living: "weakref.WeakSet[Any]" = weakref.WeakSet()


def notice(what: Any) -> None:
    """Has what.forked() called in processes that are forked from this one."""
    _living.add(what)


def keep(what: Any) -> None:
    """Has an object never be finalized."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(what))


def _forked() -> None:
    for what in list(_living):
        what.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
