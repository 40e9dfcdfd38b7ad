"""``seqopt recon``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqopt.cli.recon_batch import reconstruct_files, watch_folder
from seqopt.cli.recon_options import method_options, settings_of

if TYPE_CHECKING:
    from seqopt.workflows.reconstruct_output import ReconSummary

_QUIET = "How long a file of --watch must stay the same before it is read."


@click.command("recon")
@click.argument("scans", metavar="SCAN...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--design", type=click.Path(path_type=Path), help="Design directory; optional if SCAN has a trajectory.")
@click.option("--seq", type=click.Path(path_type=Path), help="Pulseq file that was played; gives k of each readout.")
@click.option("--dataset", help="Which one, if SCAN holds several.  [default: dataset, or the only one]")
@click.option(
    "--trajectory-units",
    help="Of SCAN's trajectory: cycles_per_encoded_sample, cycles_per_fov, per_m, rad_per_m, rad_per_encoded_sample or "
    "normalised.  [default: what the header states or the extent tells]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory for the results; of several scans and of --watch each has a folder in it.",
)
@click.option(
    "--watch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder whose files are reconstructed as they arrive.",
)
@click.option("--quiet-seconds", type=click.FloatRange(0.1, 3600.0), default=5.0, show_default=True, help=_QUIET)
@click.option("--dicom", is_flag=True, help="Write anonymous DICOM too; needs the extra `dicom`.")
@click.option("--write-bart", is_flag=True, help="Write a BART script and its data to OUT/bart too.")
@click.option("--write-server", is_flag=True, help="Write server.json too, for Gadgetron, where it has the method.")
@click.option("--quality/--no-quality", default=True, help="Write qc.html.  [default: yes]")
@method_options
def command(
    scans: tuple[Path, ...],
    design: Path | None,
    seq: Path | None,
    dataset: str | None,
    trajectory_units: str | None,
    out: Path,
    watch: Path | None,
    quiet_seconds: float,
    dicom: bool,
    write_bart: bool,
    write_server: bool,
    quality: bool,
    **settings: Any,
) -> int:
    """Reconstruct acquired MRD data: image series (MRD), NIfTI, PNG, recon.json and a page on their quality, qc.html.

    Cartesian lines are told by the design, or by the header's trajectory. A scan that was aborted, or whose lines are
    missing otherwise, is reconstructed from the lines it has. Several scans are done one after the other, or shared
    among the processes of torchrun; a failing one does not stop the rest, and what was done before is passed over.

    Exit 1 when the cross-check against sigpy does not hold, or one of several files failed.

    Example: seqopt recon scan.mrd --design out --out images

    Example: torchrun --nproc-per-node 4 $(which seqopt) recon day/*.mrd --design out --out images

    Example: seqopt recon --watch incoming --design out --out images
    """
    if bool(scans) == (watch is not None):
        raise click.UsageError("give the scans, or a folder with --watch")
    from seqopt.workflows.reconstruct import reconstruct
    from seqopt.workflows.reconstruct_output import USUAL_FORMATS

    more = {"dicom": dicom, "bart": write_bart, "server": write_server}
    options = {
        "design_path": design,
        "seq_path": seq,
        "dataset": dataset,
        "units": trajectory_units,
        "formats": (*USUAL_FORMATS, *(name for name, wanted in more.items() if wanted)),
        "quality": quality,
        **settings_of(settings),
    }
    if watch is not None:
        return watch_folder(watch, out, options, quiet_s=quiet_seconds)
    if len(scans) > 1:
        return reconstruct_files(scans, out, options)
    summary = reconstruct(scans[0], out, **options)
    _tell(scans[0], summary)
    return 0 if summary.agrees else 1


def _tell(scan: Path, summary: ReconSummary) -> None:
    from seqopt.recon.cross_check import tolerance_of

    readouts, transform = ("lines", "FFT") if summary.cartesian else ("shots", "NUFFT")
    volumes = f" x {summary.volumes} volumes" if summary.volumes > 1 else ""
    click.echo(
        f"{scan.name}: {summary.slices} slice(s){volumes} of {summary.matrix[0]} x {summary.matrix[1]} pixels from "
        f"{summary.shots} {readouts} x {summary.samples} samples x {summary.coils} coils, {summary.config.method}"
        f"{', prewhitened' if summary.whitened else ''}"
    )
    for note in summary.notes:
        click.echo(f"Note: {note}")
    if summary.cross_check is not None:
        found = [f"{name} {value:.1e} (limit {tolerance_of(name):g})" for name, value in summary.cross_check.items()]
        verdict = "held" if summary.agrees else "NOT held"
        click.echo(f"{transform} against sigpy on these data: {', '.join(found)}: {verdict}")
    shown = [path for path in summary.files if path.suffix != ".dcm"]
    for path in shown:
        click.echo(f"Wrote {path}")
    if len(shown) < len(summary.files):
        folder = next(path.parent for path in summary.files if path.suffix == ".dcm")
        click.echo(f"Wrote {len(summary.files) - len(shown)} DICOM files to {folder}")
