"""Options that were given and change nothing for the data and the method at hand."""

from __future__ import annotations

from seqopt.mrd.recon_config import ReconConfig
from seqopt.recon.iterative import ITERATIVE
from seqopt.recon.registry import WITH_MAPS
from seqopt.workflows.reconstruct_settings import Settings


def idle_notes(settings: Settings, config: ReconConfig, *, cartesian: bool, units: str | None) -> list[str]:
    """One note with the names of the options, as the command line has them, or none.

    In: ``config`` as it was used in the end, and the trajectory's ``units`` where they were given.
    """
    idle = _of_lines(config) if cartesian else _along_trajectories(config)
    names = [f"--{name.replace('_', '-')}" for name in sorted((idle & settings.given) - {"cross_check_sense"})]
    if "cross_check_sense" in idle & settings.given and config.cross_check_sense:
        names.append("--cross-check sigpy (of coil maps and CG-SENSE)")
    if units is not None and (cartesian or settings.seq_path is not None):
        names.append("--trajectory-units")
    if not names:
        return []
    what = f"{config.method} {'of Cartesian lines' if cartesian else 'along a trajectory'}"
    return [f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect on {what}"]


def _of_lines(config: ReconConfig) -> set[str]:
    iterates = set() if config.method in ITERATIVE else {"iterations", "regularisation"}
    return {"density", "gradient_delays", "segments"} | iterates


def _along_trajectories(config: ReconConfig) -> set[str]:
    idle = {"partial_fourier"}
    if config.method not in ITERATIVE:
        idle |= {"iterations", "regularisation"}
    if config.method not in WITH_MAPS:
        idle |= {"maps", "calibration", "cross_check_sense"}
    return idle if config.field_map else idle | {"segments"}
