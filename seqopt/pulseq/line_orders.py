"""Which line is read by which echo of which train: `nested`, `linear`, `centre-out`.

A gradient echo reads one line after each excitation: trains of one echo.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from seqopt.core import MaskDesign
from seqopt.errors import SeqoptError, reject
from seqopt.registry import Registry

IntArray = npt.NDArray[np.int64]
LineOrder = Callable[[MaskDesign, int, int], IntArray]
"""(design, echoes a train, echo of the centre) -> (trains, echoes) line numbers, -1 where an echo is not read."""

NO_LINE = -1

line_orders: Registry[LineOrder] = Registry("line order")


def line_table(design: MaskDesign, *, echo_train: int = 1, centre_echo: int = 0) -> IntArray:
    """(trains, echoes) line numbers in play order; the line nearest k = 0 is read at ``centre_echo``.

    Where the echoes do not divide the lines, the last train plays its missing echoes without reading them (-1).
    """
    if echo_train > design.shots:
        raise reject(
            "echo train", got=echo_train, expected=f"1..{design.shots}, the lines", remedy="give a shorter echo train"
        )
    table = line_orders[design.play.line_order](design, echo_train, centre_echo)
    if not np.array_equal(np.sort(table[table != NO_LINE]), design.lines):
        raise SeqoptError(f"line order {design.play.line_order} of {design.name} does not play each line once")
    return table


@line_orders.register("nested")
def nested(design: MaskDesign, echo_train: int, centre_echo: int) -> IntArray:
    """Most valuable lines first: an aborted scan has the best mask of as many lines as whole trains were played.

    Each train starts at the centre echo with the nearest of its own lines, so that in a train of several echoes lines
    beside each other near k = 0 differ in T2 weighting; `centre_out` keeps them alike.
    """
    trains = -(-design.shots // echo_train)
    table = np.full((trains, echo_train), NO_LINE)
    places = _echoes_outward(echo_train, centre_echo)
    for train in range(trains):
        lines = _centre_out(design, design.order[: design.shots][train * echo_train : (train + 1) * echo_train])
        table[train, places[: len(lines)]] = lines
    return table


@line_orders.register("linear")
def linear(design: MaskDesign, echo_train: int, centre_echo: int) -> IntArray:
    """From one edge of k-space to the other; each echo reads a band, and the bands turn so that the centre fits."""
    bands = np.array_split(design.lines, echo_train)
    nearest = _centre_out(design, design.lines)[0]
    centre_band = next(number for number, band in enumerate(bands) if nearest in band)
    return _banded(bands, [(number - centre_band + centre_echo) % echo_train for number in range(echo_train)])


@line_orders.register("centre-out")
def centre_out(design: MaskDesign, echo_train: int, centre_echo: int) -> IntArray:
    """From k = 0 outwards in bands of |k|, one an echo; all trains read the innermost band at the centre echo.

    From each band to the next the echo changes by one or two, so that T2 weighting varies smoothly with |k|.
    """
    bands = np.array_split(_centre_out(design, design.lines), echo_train)
    return _banded(bands, _echoes_outward(echo_train, centre_echo))


def _centre_out(design: MaskDesign, lines: IntArray) -> IntArray:
    """Lines by their distance from k = 0, of two equal ones the lower first."""
    distance = np.abs(lines - design.geometry.matrix[1] // 2)
    out: IntArray = lines[np.lexsort((lines, distance))]
    return out


def _echoes_outward(echo_train: int, centre_echo: int) -> list[int]:
    """All echoes from the centre echo on, in steps of two at most, of one where the centre echo is first or last.

    By every other echo out over the side with fewer echoes, back by the rest, then out over the other side.
    """
    earlier, later = list(range(centre_echo))[::-1], list(range(centre_echo + 1, echo_train))
    fewer, more = (earlier, later) if len(earlier) <= len(later) else (later, earlier)
    return [centre_echo, *fewer[1::2], *fewer[::2][::-1], *more]


def _banded(bands: list[IntArray], echoes: list[int]) -> IntArray:
    table = np.full((max(len(band) for band in bands), len(bands)), NO_LINE)
    for band, echo in zip(bands, echoes, strict=True):
        table[: len(band), echo] = band
    return table
