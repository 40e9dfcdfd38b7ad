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
@click.option("--out", type=click.Path(path_type=Path), required=True, help="MRD file of acquired data to write.")
@click.option("--truth", type=click.Path(path_type=Path), help="Also write the true image (.mrd or .npy).")
def command(
    design_dir: Path, images: Path | None, coils: int, snr: float, seed: int, out: Path, truth: Path | None
) -> None:
    """Play a design's .seq, read back from disk, on images and write acquired MRD data.

    Example: seqopt simulate out --snr 30 --out scan.mrd --truth truth.mrd
    """
    from seqopt.workflows.simulate import simulate

    if seed < 0:
        raise click.UsageError(f"seed: got {seed}, expected 0 or more")
    summary = simulate(design_dir, out, images=images, coils=coils, snr=snr, seed=seed, truth=truth)
    click.echo(
        f"{summary.design}: played {summary.readouts} readouts and {summary.noise_readouts} of noise, "
        f"{summary.slices} slice(s), {summary.coils} coils, noise {summary.sigma:.3g} a channel"
    )
    click.echo(f"Images: {summary.source}")
    for path in (out, truth):
        if path is not None:
            click.echo(f"Wrote {path}")
