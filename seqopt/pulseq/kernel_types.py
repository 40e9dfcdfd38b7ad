"""How the loops of ``kernels_text`` and ``kernels_played`` are compiled, and the types of what they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numba import types

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
Text = npt.NDArray[np.uint8]
Loop = TypeVar("Loop", bound=Callable[..., Any])

INT, PLACE, FLOAT = types.int64, types.uint64, types.float64
TEXT = types.Array(types.uint8, 1, "C", readonly=True)
COUNTS = types.Array(types.int32, 1, "C")
INTS = types.Array(INT, 1, "C")
FLAGS = types.Array(types.boolean, 1, "C")
FLOATS = types.Array(FLOAT, 1, "C")
FIXED = types.Array(FLOAT, 1, "C", readonly=True)
PIECES = types.Array(types.intp, 1, "C")
ROWS = types.Array(FLOAT, 2, "C")
POINTS = types.Array(FLOAT, 2, "C", readonly=True)


def compiled(*arguments: Any) -> Callable[[Loop], Loop]:
    """Compile for these arguments now, or take it from the disk; raises where numba finds no folder to keep it."""

    def wrap(loop: Loop) -> Loop:
        made: Loop = numba.njit(arguments, cache=True, nogil=True, error_model="numpy")(loop)
        return made

    return wrap
