"""Figures to PNG bytes, the same bytes each time."""

from __future__ import annotations

import io
import struct

from matplotlib.figure import Figure

from seqopt.errors import SeqoptError
from seqopt.report.style import house_style

DPI = 160
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def to_png_bytes(figure: Figure, *, dpi: int = DPI) -> bytes:
    """Render a figure to PNG, without dates or versions in its metadata; 9 inches are 1440 pixels at 160 dpi."""
    stream = io.BytesIO()
    with house_style():
        figure.savefig(stream, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels from a PNG's header; raises for what is no PNG."""
    if png[:8] != SIGNATURE or len(png) < 24:
        raise SeqoptError("report figure: got bytes that are no PNG; make them with to_png_bytes")
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)
