"""Initial trajectories: the habits from which learning starts, and the fixed baselines it is compared with.

Each is playable before any learning: amplitude and slew as vectors, start and end included, stay below the scanner's.
"""

from __future__ import annotations

from collections.abc import Callable

from seqopt.registry import Registry
from seqopt.sampling import lines, spirals, spokes
from seqopt.sampling.readouts import InitialPath, Readouts

__all__ = ["InitialPath", "Readouts", "initial_trajectories"]

initial_trajectories: Registry[Callable[[Readouts], InitialPath]] = Registry("trajectory")
initial_trajectories.register("cartesian")(lines.cartesian)
initial_trajectories.register("cartesian-vd")(lines.cartesian_dense_centre)
initial_trajectories.register("radial")(spokes.radial)
initial_trajectories.register("spiral")(spirals.spiral)
initial_trajectories.register("spiral-in-out")(spirals.spiral_in_out)
initial_trajectories.register("spiral-vd")(spirals.spiral_dense_centre)
initial_trajectories.register("epi")(lines.epi)
initial_trajectories.register("propeller")(spokes.propeller)
initial_trajectories.register("rosette")(spirals.rosette)
