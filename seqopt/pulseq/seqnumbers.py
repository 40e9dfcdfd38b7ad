"""Numbers in the text of a Pulseq file: one by one with their line, or a whole section at once."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.pulseq.seqtables import Finding
from seqopt.pulseq.seqtext import Lines, lines_of

FloatArray = npt.NDArray[np.float64]
LARGEST_NUMBER = 1e15


def real(token: str, line: int) -> float:
    """A finite number; raises with the line."""
    try:
        value = float(token)
    except ValueError:
        value = None
    if value is None or "_" in token:  # Python takes 1_000 for a number
        raise SeqoptError(f"line {line}: {token[:30]!r} is not a number; the file is damaged")
    if not abs(value) < LARGEST_NUMBER:
        raise SeqoptError(f"line {line}: {token[:30]!r} is not a finite number; the file is damaged")
    return value


def whole(token: str, line: int, findings: list[Finding]) -> float:
    """An integer field; another notation is kept as a finding, since readers take 1.0001e+06 for 1."""
    if len(token) <= 18 and token.isascii() and token.isdecimal():
        return int(token)
    if not re.fullmatch(r"-?[0-9]+", token):
        value = real(token, line)
        findings.append(Finding("format.integers", line, f"{token[:30]} where a plain integer is due"))
        return value
    if len(token) > 18:
        raise SeqoptError(f"line {line}: {token[:30]} is too large; the file is damaged")
    return int(token)


def column(lines: Lines) -> FloatArray:
    """One number a line, NaN and infinity among them; raises with the line for anything else."""
    texts = [text for _, text in lines]
    try:
        values = np.array(texts, dtype=np.float64)
    except ValueError:
        values = None
    if values is not None and "_" not in "".join(texts):
        return values
    for number, text in lines:
        try:
            float("x" if "_" in text else text)
        except ValueError:
            raise SeqoptError(f"line {number}: {text[:30]!r} is not a number; the file is damaged") from None
    raise SeqoptError(f"line {lines[0][0]}: a column that is not of numbers; the file is damaged")


def whole_table(body: bytes, columns: int) -> npt.NDArray[np.int64] | None:
    """Lines of ``columns`` plain integers -> (rows, columns), at once; None where they are not just that."""
    comment = body.find(b"\n#")  # the head of the next section, as most writers put it
    if comment >= 0 and not lines_of(body[comment:], 0):
        body = body[:comment]
    if body.translate(None, delete=b"0123456789 \n") or not body.strip():
        return None
    text = np.frombuffer(body + b"\n", dtype=np.uint8)
    digit = text > 32
    starts = digit[1:] & ~digit[:-1]
    before = np.concatenate([[digit[0]], starts]).cumsum(dtype=np.int32)  # numbers begun, up to each byte
    rows = np.diff(before[text == 10], prepend=np.int32(0))
    if not np.isin(rows, (0, columns)).all():
        return None
    numbers = np.fromstring(body, dtype=np.float64, sep=" ")
    if len(numbers) != before[-1] or not (numbers < LARGEST_NUMBER).all():
        return None
    table: npt.NDArray[np.int64] = numbers.astype(np.int64).reshape(-1, columns)
    return table
