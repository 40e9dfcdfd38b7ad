"""The result of measuring a sequence file against limits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Check:
    """One number compared with one limit."""

    name: str
    """Dotted, for example ``gradient.vector_slew``."""
    held: bool
    value: float | str
    limit: float | str
    unit: str = ""
    where: str = ""
    """Block, time, axis, sample of the worst place."""
    remedy: str = ""

    @property
    def is_spelled_out(self) -> bool:
        """Whether its place and remedy belong in every summary: it failed, or says more than whether it held."""
        return not self.held or self.name.startswith(("pns.", "resonance."))


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """All checks of one file. It compares numbers with limits and never says "safe"."""

    file: str
    md5: str
    scanner: str
    """Name of the profile."""
    checks: tuple[Check, ...]
    not_checked: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)
    """Measured numbers without a limit: TE, TR, duration, counts."""
    overrides: tuple[str, ...] = ()
    """What was put in place of the profile's own limits."""

    @property
    def against(self) -> str:
        """The profile's name with all that was put in place of its limits."""
        return f"{self.scanner} with {', '.join(self.overrides)}" if self.overrides else self.scanner

    @property
    def holds(self) -> bool:
        """Whether every check held."""
        return all(check.held for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not hold."""
        return tuple(check for check in self.checks if not check.held)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"holds": self.holds, **asdict(self)}
