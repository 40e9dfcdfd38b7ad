"""What `seqopt recon` may be told of methods and steps: the settings of ``recon.toml``, one option each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

Command = Callable[..., Any]
_CHECKS: Mapping[str, tuple[bool, bool]] = {"nufft": (True, False), "sigpy": (True, True), "none": (False, False)}

_OPTIONS = (
    click.option(
        "--method",
        help="Along trajectories adjoint, cg-sense, l1-wavelet, tv, unet or unrolled; for Cartesian lines zero-filled, "
        "cg-sense, l1-wavelet, tv, grappa or unet; auto chooses by the data and says why.  "
        "[default: the design's recon.toml, or cg-sense]",
    ),
    click.option(
        "--iterations",
        type=int,
        help="Of cg-sense, l1-wavelet and tv.  [default: 12; 30 for lines; 40 for sparse methods along trajectories]",
    ),
    click.option(
        "--regularisation",
        type=float,
        help="Weight of the image's energy, or of its wavelets or total variation relative to the brightest pixel.  "
        "[default: 0.01; l1-wavelet 0.003, tv 0.002; for lines 0.003]",
    ),
    click.option(
        "--prewhiten/--no-prewhiten",
        default=None,
        help="Mix the coils by the noise readout, so that their noise is equal and uncorrelated.  "
        "[default: where that readout tells how]",
    ),
    click.option(
        "--remove-oversampling/--keep-oversampling",
        default=None,
        help="Of Cartesian lines: cut the image to its field of view, or show all that was encoded.  [default: cut]",
    ),
    click.option("--maps", help="Coil maps from the data: walsh or espirit.  [default: walsh]"),
    click.option(
        "--calibration", type=int, help="Side of the k-space centre for the coil maps, in 1/FOV.  [default: 24]"
    ),
    click.option(
        "--density",
        help="Density compensation: pipe-menon, analytic (radial and spiral shots), file or none.  "
        "[default: pipe-menon]",
    ),
    click.option(
        "--coil-compression",
        type=float,
        help="Virtual coils: their number, or below 1 the share of the energy to keep.  [default: 0, as acquired]",
    ),
    click.option(
        "--partial-fourier",
        help="What lines lack on one side of k-space: zero leaves it, pocs fills it by the phase of the symmetric "
        "centre, auto does so where it is more than a twentieth.  [default: auto]",
    ),
    click.option(
        "--gradient-delays",
        help="auto, calibration (spokes of the scan), ring (where radial spokes intersect) or none.  [default: auto]",
    ),
    click.option(
        "--girf",
        help="CSV of the gradients' response (frequency_hz,x_re,x_im,y_re,y_im), applied to what the .seq plays.",
    ),
    click.option(
        "--field-map",
        help="Correct off-resonance: a NIfTI in Hz, positive where spins precess faster, as a gradient that raises "
        "the frequency; or `measured` by the scan itself.",
    ),
    click.option("--segments", type=int, help="Most terms by which off-resonance is approximated.  [default: 8]"),
    click.option(
        "--calibration-scans/--no-calibration-scans",
        default=None,
        help="Use those that SCAN holds: coil maps, gradient delays, field map.  [default: yes]",
    ),
    click.option(
        "--cross-check",
        type=click.Choice(list(_CHECKS)),
        help="Compare with sigpy: the transform (nufft), coil maps and CG-SENSE too (sigpy), or none.  "
        "[default: nufft]",
    ),
    click.option("--no-cross-check", is_flag=True, help="The same as --cross-check none."),
)


def method_options(command: Command) -> Command:
    """Add the options of methods and steps; they arrive as keywords for `settings_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of ``recon.toml`` from the options; None where one was not given."""
    settings = dict(options)
    chosen = "none" if settings.pop("no_cross_check") else settings.pop("cross_check")
    settings.pop("cross_check", None)
    transform, sense = (None, None) if chosen is None else _CHECKS[chosen]
    return {**settings, "cross_check": transform, "cross_check_sense": sense}
