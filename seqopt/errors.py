"""The one root of every error that seqopt raises on purpose."""

from __future__ import annotations


class SeqoptError(Exception):
    """Bad input or an impossible request: one line that says what, got, expected and the remedy. The CLI exits 2."""


def reject(what: str, *, got: object, expected: str, remedy: str) -> SeqoptError:
    """Compose the one-line error that every door of seqopt uses."""
    return SeqoptError(f"{what}: got {got}, expected {expected}; {remedy}")
