"""``seqopt simulate``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("simulate")
@click.argument("design_dir", type=click.Path(path_type=Path))
@click.option("--images", type=click.Path(path_type=Path), help="Images to scan.  [default: the embedded brain]")
@click.option("--coils", type=int, default=8, show_default=True, help="Receive coils.")
@click.option("--snr", type=float, default=30.0, show_default=True, help="Signal-to-noise ratio; inf for no noise.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of noise and phase.")
@click.option(
    "--gradient-delay",
    type=(float, float),
    default=(0.0, 0.0),
    metavar="X Y",
    help="Microseconds by which the scanner's x and y gradients lag; the header does not know of it.",
)
@click.option("--off-resonance", type=float, default=0.0, help="Largest size of a smooth map of the field, Hz.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="MRD file of acquired data to write.")
@click.option("--truth", type=click.Path(path_type=Path), help="Also write the true image (.mrd or .npy).")
def command(
    design_dir: Path,
    images: Path | None,
    coils: int,
    snr: float,
    seed: int,
    gradient_delay: tuple[float, float],
    off_resonance: float,
    out: Path,
    truth: Path | None,
) -> None:
    """Play a design's .seq, read back from disk, on images and write acquired MRD data.

    Example: seqopt simulate out --snr 30 --out scan.mrd --truth truth.mrd
    """
    from seqopt.workflows.simulate import simulate
    from seqopt.workflows.simulate_signals import Disturbance

    if seed < 0:
        raise click.UsageError(f"seed: got {seed}, expected 0 or more")
    x_us, y_us = gradient_delay
    disturbance = Disturbance(delays_s=(x_us * 1e-6, y_us * 1e-6), off_resonance_hz=off_resonance)
    summary = simulate(
        design_dir, out, images=images, coils=coils, snr=snr, seed=seed, truth=truth, disturbance=disturbance
    )
    calibration = f", {summary.calibration_readouts} of calibration" if summary.calibration_readouts else ""
    click.echo(
        f"{summary.design}: played {summary.readouts} readouts{calibration} and {summary.noise_readouts} of noise, "
        f"{summary.slices} slice(s), {summary.coils} coils, noise {summary.sigma:.3g} a channel"
    )
    click.echo(f"Images: {summary.source}")
    for path in (out, truth):
        if path is not None:
            click.echo(f"Wrote {path}")
