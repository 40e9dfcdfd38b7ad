"""``seqopt design``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

_STAGES = {  # rough seconds of the quick preset on two cores, to weigh the overall bar
    "images": 10.0,
    "learn": 200.0,
    "project": 3.0,
    "U-Net fixed": 70.0,
    "U-Net learned": 70.0,
    "judge": 25.0,
    "write": 10.0,
}


def _from_recipe(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Take defaults from a recipe; what stands on the command line comes first."""
    if path is None:
        return
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(f"{path} cannot be read as a recipe ({error}); give a recipe.toml") from error
    known = {option.name for option in context.command.params} - {"recipe", "resume", "overwrite"}
    for name in table:
        if name.replace("-", "_") not in known:
            raise click.BadParameter(f"{path}: unknown entry {name!r}; known: {', '.join(sorted(map(str, known)))}")
    context.default_map = {name.replace("-", "_"): value for name, value in table.items()}


@click.command("design")
@click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_from_recipe,
    help="TOML of options, as in sequences/*/recipe.toml.",
)
@click.option("--traj", default="radial", show_default=True, help="Initial trajectory.")
@click.option("--shots", type=int, default=16, show_default=True, help="Shots (excitations) a slice.")
@click.option("--out", type=click.Path(path_type=Path), help="Directory to write.  [default: designs/TRAJ-SHOTS]")
@click.option("--preset", default="quick", show_default=True, help="smoke, quick or paper.")
@click.option("--images", type=click.Path(path_type=Path), help="File or folder.  [default: the embedded brain]")
@click.option("--fov", type=float, default=220.0, show_default=True, help="Field of view, mm.")
@click.option("--matrix", type=int, help="Pixels a side.  [default: 256, smoke 64]")
@click.option("--readout", type=float, default=4.0, show_default=True, help="Readout a shot, ms.")
@click.option("--dwell", type=float, default=4.0, show_default=True, help="ADC dwell time, us.")
@click.option("--te", type=float, help="Echo time, ms.  [default: the shortest]")
@click.option("--tr", type=float, help="Repetition time, ms.  [default: the shortest]")
@click.option("--flip", type=float, default=15.0, show_default=True, help="Flip angle, degrees.")
@click.option("--slices", type=int, default=8, show_default=True, help="Slices, all played in each TR, in order.")
@click.option("--thickness", type=float, default=5.0, show_default=True, help="Slice thickness, mm.")
@click.option("--gap", type=float, default=1.0, show_default=True, help="Gap between slices, mm.")
@click.option("--dummies", type=int, default=60, show_default=True, help="Dummy shots before the first readout.")
@click.option("--scanner", default="paper", show_default=True, help="Profile (`seqopt scanners`) or a TOML file.")
@click.option("--form", help="ODE form: residual or segments.  [default: the preset's]")
@click.option("--recon", help="Reconstruction in training: cg-sense or adjoint+unet.  [default: the preset's]")
@click.option("--steps", type=int, help="Training steps of the trajectory.  [default: the preset's]")
@click.option("--network-steps", type=int, help="Training steps of each U-Net.  [default: the preset's]")
@click.option("--coils", type=int, default=8, show_default=True, help="Simulated coils.")
@click.option(
    "--snr", type=float, default=50.0, show_default=True, help="SNR of the fully sampled image, coils combined."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Everything random follows from it.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--backend", default="auto", show_default=True, help="NUFFT: finufft, torchkbnufft or auto.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run in --out.")
@click.option("--overwrite", is_flag=True, help="Replace what --out holds.")
def command(**options: Any) -> int:
    """Learn a sampling from images and write its certified sequence.

    Starts from a fixed trajectory, learns a better one jointly with a reconstruction, projects it onto what the
    gradients can play, judges both on held-out images, and leaves design.h5, the Pulseq .seq, the MRD header,
    recon.toml, certificate.json and report.html. Exit 1 when the certificate of the written file does not hold.

    Example: seqopt design --traj radial --shots 16
    """
    request = _request(**options)
    from seqopt.workflows.design import InterruptedRunError, design

    click.echo(
        f"Designing {request.name}: {request.shots} shots x {request.samples} samples, "
        f"{request.geometry.matrix[0]} x {request.geometry.matrix[1]} pixels in "
        f"{request.geometry.fov_m[0] * 1e3:g} mm, scanner {request.scanner.name} -> {request.out}"
    )
    try:
        with _Bars() as bars:
            outcome, certificate = design(request, watch=bars.watch, stop=bars.stop)
    except InterruptedRunError:
        click.echo(
            f"Interrupted; the state is kept in {request.out}. Repeat the command with --resume to go on.", err=True
        )
        return 130
    _show(request, outcome, certificate)
    return 0 if certificate.holds else 1


def _request(**options: Any) -> Any:
    from math import radians

    from seqopt.core import Geometry, Protocol
    from seqopt.errors import reject
    from seqopt.gradients.profiles import load_scanner
    from seqopt.learn.recipe import choose
    from seqopt.workflows.design_request import DesignRequest

    shots, matrix = options["shots"], options["matrix"]
    if matrix is None:
        matrix = 64 if options["preset"] == "smoke" else 256
    if not 20.0 <= options["fov"] <= 1000.0:
        raise reject(
            "--fov", got=f"{options['fov']:g} mm", expected="20..1000 mm", remedy="was it given in metres or cm?"
        )
    if shots < 1:
        raise reject("--shots", got=shots, expected="1 or more", remedy="16 is the default")
    if matrix < 1:
        raise reject("--matrix", got=matrix, expected="8..4096 pixels", remedy="256 is the default")
    for name in ("te", "tr"):
        if options[name] is not None and not 0.1 <= options[name] <= 30_000.0:
            raise reject(
                f"--{name}", got=f"{options[name]:g} ms", expected="0.1..30000 ms", remedy="was it given in seconds?"
            )
    if not 0.3 <= options["thickness"] <= 500.0:
        raise reject(
            "--thickness", got=f"{options['thickness']:g} mm", expected="0.3..500 mm", remedy="was it given in metres?"
        )
    milli = {name: None if options[name] is None else options[name] * 1e-3 for name in ("te", "tr")}
    recipe = choose(
        options["preset"],
        form=options["form"],
        recon=options["recon"],
        steps=options["steps"],
        network_steps=options["network_steps"],
    )
    return DesignRequest(
        out=options["out"] or Path("designs") / f"{options['traj']}-{shots}",
        traj=options["traj"],
        shots=shots,
        geometry=Geometry(
            fov_m=(options["fov"] * 1e-3, options["fov"] * 1e-3),
            matrix=(matrix, matrix),
            slices=options["slices"],
            slice_thickness_m=options["thickness"] * 1e-3,
            slice_gap_m=options["gap"] * 1e-3,
        ),
        scanner=load_scanner(options["scanner"]),
        protocol=Protocol(
            te_s=milli["te"], tr_s=milli["tr"], flip_rad=radians(options["flip"]), dummy_shots=options["dummies"]
        ),
        recipe=recipe,
        readout_s=options["readout"] * 1e-3,
        dwell_s=options["dwell"] * 1e-6,
        images=options["images"],
        coils=options["coils"],
        snr=options["snr"],
        seed=options["seed"],
        device=options["device"],
        backend=options["backend"],
        resume=options["resume"],
        overwrite=options["overwrite"],
        labels={"preset": options["preset"]},
    )


class _Bars:
    """Progress bars on a terminal, one line a stage elsewhere; the first Ctrl-C asks for a clean stop."""

    def __enter__(self) -> _Bars:
        import signal

        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._stopping = False
        self._began = time.monotonic()
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[remark]}"),
            console=self._console,
            disable=not self._live,
        )
        self._tasks: dict[str, Any] = {}
        self._announced: set[tuple[str, int]] = set()
        self._overall = self._progress.add_task("whole job", total=round(sum(_STAGES.values())), remark="")
        self._progress.start()
        self._previous: Any = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        import signal

        signal.signal(signal.SIGINT, self._previous)
        self._progress.stop()

    def _interrupted(self, *_: object) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        self._console.print("Stopping after this step; press Ctrl-C again to stop at once.")

    def stop(self) -> bool:
        """Whether the user has asked to stop."""
        return self._stopping

    def watch(self, stage: str, done: int, total: int, remark: str) -> None:
        """Show where a stage stands."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, remark=remark)
        self._progress.update(self._tasks[stage], completed=done, total=total, remark=remark)
        before = list(_STAGES)[: list(_STAGES).index(stage)]
        finished = sum(_STAGES[name] for name in before) + _STAGES[stage] * done / max(total, 1)
        self._progress.update(self._overall, completed=round(finished))
        if not self._live:
            quarter = 4 * done // max(total, 1)
            if (stage, quarter) not in self._announced:
                self._announced.add((stage, quarter))
                spent = time.monotonic() - self._began
                left = spent * (sum(_STAGES.values()) - finished) / finished if finished > 0 and done else None
                estimate = "" if left is None else f" (about {left:.0f} s left in all)"
                click.echo(f"  {stage}: {done}/{total} {remark}".rstrip() + estimate, err=True)


def _show(request: Any, outcome: Any, certificate: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from seqopt.workflows.design_output import limit_rows, quality_rows, timing_rows

    console = Console(soft_wrap=True)
    quality = Table("reconstruction", "metric", title="Held-out images, projected trajectory")
    for column in ("fixed", "learned", "gain"):
        quality.add_column(column, justify="right")
    for judge, metric, fixed, learned in quality_rows(outcome):
        quality.add_row(judge, metric, f"{fixed:.4g}", f"{learned:.4g}", f"{learned - fixed:+.3g}")
    console.print(quality)
    limits = Table("measured on the file", "value", "limit")
    for name, value, limit, unit in limit_rows(certificate, request.scanner):
        limits.add_row(name, f"{value:.2f} {unit}", f"{limit:g} {unit}")
    console.print(limits)
    timing = Table("timing", "fixed", "learned")
    for name, fixed, learned, unit in timing_rows(outcome):
        timing.add_row(name, f"{fixed:.5g} {unit}", f"{learned:.5g} {unit}")
    console.print(timing)
    held = sum(check.held for check in certificate.checks)
    console.print(f"Certificate: {held} of {len(certificate.checks)} checks held against {certificate.scanner}.")
    for check in certificate.failures:
        console.print(f"  NOT held: {check.name} {check.value} (limit {check.limit} {check.unit}) {check.where}")
    console.print(f"Wrote to {request.out}: {', '.join(outcome.files)}")
