"""``seqopt design``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seqopt.cli.design_options import make_request, recipe_option, shared_options
from seqopt.cli.mask_options import IGS, MASK_ONLY, DesignCommand, make_mask_request, mask_options, refuse_foreign

_STAGES = {  # stage: rough seconds of the quick preset on two cores, to weigh the overall bar
    "images": 10.0,
    "task": 5.0,
    "learn": 200.0,
    "project": 3.0,
    "U-Net fixed": 70.0,
    "U-Net learned": 70.0,
    "unrolled fixed": 0.0,
    "unrolled learned": 0.0,
    "judge": 25.0,
    "write": 10.0,
}


@click.command("design", cls=DesignCommand)
@recipe_option
@click.option(
    "--traj",
    default="radial",
    show_default=True,
    help="cartesian, cartesian-vd, radial, spiral, spiral-in-out, spiral-vd, epi, propeller, rosette, file:PATH, or "
    "igs for a Cartesian mask.",
)
@click.option(
    "--shots", type=int, help="Shots (excitations) a slice; of a mask its lines.  [default: 16, or the file's]"
)
@click.option("--golden", is_flag=True, help="Golden-angle increments between shots.")
@click.option("--trajectory-unit", help="Unit of k in an .npy or .npz: 1/m, 1/fov, cycles or radians.")
@click.option("--out", type=click.Path(path_type=Path), help="Directory to write.  [default: designs/TRAJ-SHOTS]")
@click.option(
    "--warm-start", type=click.Path(path_type=Path), help="Learn on from an earlier design: its directory or design.h5."
)
@click.option(
    "--time-optimal", is_flag=True, help="Play the learned paths in the least time, in as many samples as that takes."
)
@click.option(
    "--largest-move",
    type=float,
    default=0.5,
    show_default=True,
    help="A path that the projection would move farther (1/FOV) is re-timed if that takes no more samples.",
)
@shared_options
@mask_options
@click.option("--distributed", is_flag=True, help="One of several processes of torchrun or srun (docs/cluster.md).")
@click.option("--amp", is_flag=True, help="Networks in bfloat16; on a GPU only.")
@click.option("--compile", "compile", is_flag=True, help="Compile networks and ODE with torch.compile.")
@click.option("--dry-run", is_flag=True, help="Tell timing, nerve stimulation and sizes; learn and write nothing.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run in --out.")
@click.option("--overwrite", is_flag=True, help="Replace what --out holds.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Learn a sampling from images and write its certified sequence.

    Starts from a fixed trajectory, learns a better one jointly with a reconstruction, projects it onto what the
    gradients can play, judges both on held-out images, and leaves design.h5, the Pulseq .seq, the MRD header,
    recon.toml, certificate.json, scores.json and report.html. Exit 1 when the certificate of the written file does not
    hold.

    With --traj igs, phase-encoding lines are chosen for what the images are for: to look at, to segment or to classify.
    They are judged on held-out images against the usual masks.

    Example: seqopt design --traj radial --shots 16

    Example: seqopt design --traj igs --shots 16 --task segmentation
    """
    dry = options.pop("dry_run")
    if dry:
        return _dry_run(context, options)
    if options["traj"] == IGS:
        return _design_mask(context, options)
    refuse_foreign(context, masks=False)
    return _design_trajectory({name: value for name, value in options.items() if name not in MASK_ONLY})


def _dry_run(context: click.Context, options: dict[str, Any]) -> int:
    from rich.console import Console
    from rich.table import Table

    masks = options["traj"] == IGS
    if masks:
        request = make_mask_request(context, **options)
    else:
        refuse_foreign(context, masks=False)
        request = make_request(**{name: value for name, value in options.items() if name not in MASK_ONLY})
    from seqopt.workflows.dry_run import dry_run_mask, dry_run_trajectory

    found = dry_run_mask(request) if masks else dry_run_trajectory(request)
    table = Table(request.name, found.known, "learned")
    for row in found.rows:
        table.add_row(*row)
    console = Console(soft_wrap=True)
    console.print(table)
    show_checks(console, found.certificate)
    console.print("Nothing was learned and nothing written.")
    return 0 if found.certificate.holds else 1


def _design_mask(context: click.Context, options: dict[str, Any]) -> int:
    from seqopt.cli.mask_summary import announce_mask, mask_stages, show_mask
    from seqopt.cli.progress import Bars

    request = make_mask_request(context, **options)
    from seqopt.workflows.mask_design import design_mask
    from seqopt.workflows.run import InterruptedRunError

    click.echo(announce_mask(request))
    try:
        with Bars(mask_stages(request)) as bars:
            outcome, certificate = design_mask(request, watch=bars.watch, stop=bars.stop)
    except InterruptedRunError:
        return _interrupted(request)
    show_mask(request, outcome, certificate)
    return 0 if certificate.holds else 1


def _interrupted(request: Any) -> int:
    click.echo(f"Interrupted; the state is kept in {request.out}. Repeat the command with --resume to go on.", err=True)
    return 130


def _design_trajectory(options: dict[str, Any]) -> int:
    from seqopt.cli.progress import Bars

    request = make_request(**options)
    from seqopt.workflows.design import InterruptedRunError, design, in_company

    with in_company(request) as world:
        if world.is_first:
            click.echo(
                f"Designing {request.name}: {request.shots} shots x {request.samples} samples, "
                f"{request.geometry.matrix[0]} x {request.geometry.matrix[1]} pixels in "
                f"{request.geometry.fov_m[0] * 1e3:g} mm, scanner {request.scanner.name} -> {request.out}"
            )
        try:
            with Bars(_stages(request.recipe), silent=not world.is_first) as bars:
                outcome, certificate = design(request, watch=bars.watch, stop=bars.stop, world=world, tell=_tell)
        except InterruptedRunError:
            return _interrupted(request)
    if certificate is None:  # another process speaks
        return 0
    _show(request, outcome, certificate)
    return 0 if certificate.holds else 1


def _tell(notice: str) -> None:
    click.echo(notice, err=True)


def _stages(recipe: Any) -> dict[str, float]:
    """The stages of this run: the unrolled network and the task's are trained only where they are asked for."""
    from seqopt.learn.tasks import tasks

    seconds = dict(_STAGES)
    if recipe.recon == "unrolled":
        seconds |= {"learn": 400.0, "unrolled fixed": 250.0, "unrolled learned": 250.0}
    if any(name in tasks for name in recipe.loss):
        seconds["task"] = 40.0
    return seconds


def _show(request: Any, outcome: Any, certificate: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from seqopt.workflows.design_outcome import learning_rows, projection_rows, quality_rows, timing_rows

    console = Console(soft_wrap=True)
    quality = Table("reconstruction", "metric", title="Held-out images, projected trajectory")
    for column in ("fixed", "learned", "gain"):
        quality.add_column(column, justify="right")
    for judge, metric, fixed, learned in quality_rows(outcome):
        quality.add_row(judge, metric, f"{fixed:.4g}", f"{learned:.4g}", f"{learned - fixed:+.3g}")
    console.print(quality)
    show_limits(console, certificate, request.scanner)
    learning = Table("before and by the projection", "value", "limit")
    for name, value, limit, unit in (*learning_rows(outcome, request.scanner), *projection_rows(outcome)):
        learning.add_row(name, f"{value:.4g} {unit}", f"{limit:.4g} {unit}" if limit else "-")
    console.print(learning)
    timing = Table("timing", "fixed", "learned")
    for name, fixed, learned, unit in timing_rows(outcome):
        timing.add_row(name, f"{fixed:.5g} {unit}", f"{learned:.5g} {unit}")
    console.print(timing)
    for notice in outcome.notices:
        console.print(f"{notice}.", markup=False)
    show_verdict(console, request, outcome, certificate)


def show_limits(console: Any, certificate: Any, scanner: Any) -> None:
    """Largest gradient and slew of the written file."""
    from rich.table import Table

    from seqopt.workflows.design_outcome import limit_rows

    limits = Table("measured on the file", "value", "limit")
    for name, value, limit, unit in limit_rows(certificate, scanner):
        limits.add_row(name, f"{value:.2f} {unit}", f"{limit:g} {unit}")
    console.print(limits)


def show_verdict(console: Any, request: Any, outcome: Any, certificate: Any) -> None:
    """How many checks held, which did not, and the files."""
    show_checks(console, certificate)
    console.print(f"Wrote to {request.out}: {', '.join(outcome.files)}")


def show_checks(console: Any, certificate: Any) -> None:
    """How many checks held, and which did not."""
    held = sum(check.held for check in certificate.checks)
    console.print(f"Certificate: {held} of {len(certificate.checks)} checks held against {certificate.against}.")
    for check in certificate.failures:
        console.print(f"  NOT held: {check.name} {check.value} (limit {check.limit} {check.unit}) {check.where}")
