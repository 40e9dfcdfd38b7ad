"""How the lines of a Cartesian mask are played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqopt.errors import reject


@dataclass(frozen=True, kw_only=True)
class CartesianProtocol:
    """Sequence and line order of a mask; echo and repetition times and the slice-selective pulse are in `Protocol`."""

    sequence: str = "gre"
    """``gre`` or ``tse``."""
    line_order: str = "nested"
    """``nested`` (most valuable first), ``linear`` or ``centre-out``, which the command line takes for a tse."""
    echo_train: int = 8
    """Echoes after each excitation (tse)."""
    refocus_rad: float = np.pi
    """Flip angle of the refocusing pulses (tse); the excitation of a tse is 90 degrees whatever `Protocol` says."""
    crusher_cycles: float = 4.0
    """Dephasing across one slice by each crusher beside a refocusing pulse, in cycles (tse)."""
    dummy_trains: int = 1
    """Echo trains without readout at the start, for the steady state (tse)."""

    def __post_init__(self) -> None:
        if not 1 <= self.echo_train <= 1024:
            raise reject("echo train", got=self.echo_train, expected="1..1024 echoes", remedy="8 to 16 are usual")
        if not 1.65 <= self.refocus_rad <= np.pi + 1e-9:
            raise reject(
                "refocusing flip angle",
                got=f"{np.degrees(self.refocus_rad):g} degrees",
                expected="95..180",
                remedy="was it given in degrees where rad are due, or the other way round?",
            )
        if not 1.0 <= self.crusher_cycles <= 64.0:
            raise reject("crusher", got=f"{self.crusher_cycles:g} cycles", expected="1..64", remedy="4 is usual")
        if not 0 <= self.dummy_trains <= 100:
            raise reject("dummy trains", got=self.dummy_trains, expected="0..100", remedy="1 is usual")
