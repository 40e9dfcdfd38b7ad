"""What makes large sequences quick: compiled loops where they pay, and no search for garbage meanwhile."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType
from typing import ParamSpec, TypeVar

FROM_NUMBERS = 1_000_000
"""Numbers (samples of shapes, corners) from which loading compiled code costs less than it saves."""
Given = ParamSpec("Given")
Made = TypeVar("Made")


def kernels_for(numbers: int) -> ModuleType | None:
    """The module ``kernels`` for so many numbers; None where they are few, or where nothing compiled can be kept.

    Everything that it does, numpy does beside its callers, number for number.
    """
    return _kernels() if numbers >= FROM_NUMBERS else None


@cache
def _kernels() -> ModuleType | None:
    try:
        from numba import config

        if config.DISABLE_JIT:  # the loops as plain Python would take minutes
            return None
        from seqopt.pulseq import kernels
    except (ImportError, RuntimeError):  # no compiler, or no folder for its work: compiling each time takes longer
        return None
    except Exception as error:
        warnings.warn(
            f"the compiled loops of seqopt.pulseq cannot be loaded ({type(error).__name__}: {error}), so large files "
            "take longer; delete the .nbi and .nbc files of its __pycache__ folder or of NUMBA_CACHE_DIR",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return kernels


def uncollected(work: Callable[Given, Made]) -> Callable[Given, Made]:
    """Run a function without Python's search for circular garbage, which would look at all events again and again.

    What reads or builds a sequence makes 100,000s of small objects, of which none is garbage before it ends.
    """

    @wraps(work)
    def run(*given: Given.args, **named: Given.kwargs) -> Made:
        if not gc.isenabled():
            return work(*given, **named)
        gc.disable()
        try:
            return work(*given, **named)
        finally:
            gc.enable()

    return run
