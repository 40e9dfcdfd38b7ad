"""Options that ``seqopt design`` and ``seqopt evaluate`` share, and the request that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_SHOTS = 16
NO_LIMIT = "none"
_NOT_IN_RECIPES = {"recipe", "resume", "overwrite"}


def _share(context: click.Context, parameter: click.Parameter, value: str | float | None) -> float | str | None:
    """A share of a limit, or none."""
    if value is None or value == NO_LIMIT:
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise click.BadParameter(f"got {value!r}, expected a number such as 0.8, or {NO_LIMIT}") from None


def _from_recipe(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Take defaults from a recipe; what stands on the command line comes first."""
    if path is None:
        return
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(f"{path} cannot be read as a recipe ({error}); give a recipe.toml") from error
    known = {option.opts[0].removeprefix("--"): option.name for option in context.command.params}
    known = {name: parameter for name, parameter in known.items() if name not in _NOT_IN_RECIPES}
    for name in table:
        if name.replace("_", "-") not in known:
            raise click.BadParameter(f"{path}: unknown entry {name!r}; known: {', '.join(sorted(known))}")
    context.default_map = {str(known[name.replace("_", "-")]): value for name, value in table.items()}


recipe_option = click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_from_recipe,
    help="TOML of options, as in sequences/*/recipe.toml.",
)

ASC_HELP = "The gradient coil's .asc file (nerve stimulation, forbidden bands); `example`: a published example coil."

_OPTIONS = (
    click.option("--preset", default="quick", show_default=True, help="smoke, quick or paper."),
    click.option("--budget", type=float, default=1.0, show_default=True, help="Scales the preset's training steps."),
    click.option("--images", type=click.Path(path_type=Path), help="File or folder.  [default: the embedded brain]"),
    click.option("--fov", type=float, default=220.0, show_default=True, help="Field of view, mm."),
    click.option("--matrix", type=int, help="Pixels a side.  [default: 256, smoke 64]"),
    click.option("--readout", type=float, default=4.0, show_default=True, help="Readout a shot, ms."),
    click.option("--dwell", type=float, default=4.0, show_default=True, help="ADC dwell time, us; of masks 8 or more."),
    click.option(
        "--adc-segments",
        type=int,
        default=1,
        show_default=True,
        help="Equal parts in which the receiver takes a readout that is too long for it.",
    ),
    click.option("--te", type=float, help="Echo time, ms.  [default: the shortest]"),
    click.option("--tr", type=float, help="Repetition time, ms.  [default: the shortest; tse 3000]"),
    click.option("--flip", type=float, default=15.0, show_default=True, help="Flip angle, degrees."),
    click.option("--slices", type=int, default=8, show_default=True, help="Slices, all played in each TR, in order."),
    click.option("--thickness", type=float, default=5.0, show_default=True, help="Slice thickness, mm."),
    click.option("--gap", type=float, default=1.0, show_default=True, help="Gap between slices, mm."),
    click.option("--dummies", type=int, default=60, show_default=True, help="Dummy shots before the first readout."),
    click.option(
        "--calibrate",
        multiple=True,
        metavar="SCAN",
        help="Scans before the image that `recon` uses: maps, delays (trajectories) or b0; repeatable.",
    ),
    click.option("--scanner", default="paper", show_default=True, help="Profile (`seqopt scanners`) or a TOML file."),
    click.option("--asc", metavar="FILE", help=ASC_HELP),
    click.option(
        "--limit-pns",
        type=click.UNPROCESSED,
        callback=_share,
        metavar="SHARE",
        help="Keep nerve stimulation below this share of the limit, say 0.8; none lets it pass.  "
        "[default: 1 where the coil's coefficients are known]",
    ),
    click.option(
        "--avoid-resonances/--allow-resonances",
        default=None,
        help="Keep gradients out of the scanner's forbidden bands.  [default: avoid, where they are known]",
    ),
    click.option(
        "--pulseq-version",
        "pulseq_versions",
        multiple=True,
        help="Version of the .seq: 1.5.0, 1.4.1, or 1.5.1 which stores rotated shots once; repeatable.  "
        "[default: 1.5.0 and 1.4.1]",
    ),
    click.option("--form", help="ODE form: residual or segments.  [default: the preset's]"),
    click.option(
        "--recon", help="Reconstruction in training: cg-sense, adjoint+unet or unrolled.  [default: the preset's]"
    ),
    click.option(
        "--loss",
        help="Weighted terms, say rmse=10,l1=1,ssim=0.1; also mse and segmentation.  [default: the preset's]",
    ),
    click.option(
        "--adjoint-weight",
        type=float,
        help="Weight in the loss of the plain adjoint, which the U-Nets start from.  [default: the preset's]",
    ),
    click.option("--steps", type=int, help="Training steps of the trajectory.  [default: the preset's]"),
    click.option("--batch", type=int, help="Images a step, of every training.  [default: the preset's]"),
    click.option("--network-steps", type=int, help="Training steps of each judging network.  [default: the preset's]"),
    click.option(
        "--coarse-to-fine",
        type=float,
        help="Share of the control frequencies open at the start, 1 for all (residual form).  [default: the preset's]",
    ),
    click.option("--k-harmonics", type=int, help="Frequencies of k that the ODE sees (residual form).  [default: 0]"),
    click.option("--adjoint", is_flag=True, help="Adjoint method: memory that does not grow with solver steps."),
    click.option(
        "--patience", type=int, help="Stop early after so many validations without a better one.  [default: never]"
    ),
    click.option("--coils", type=int, default=8, show_default=True, help="Simulated coils."),
    click.option(
        "--snr", type=float, default=50.0, show_default=True, help="SNR of the fully sampled image, coils combined."
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Everything random follows from it."),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto."),
    click.option("--backend", default="auto", show_default=True, help="NUFFT: finufft, torchkbnufft or auto."),
)


def shared_options(command: F) -> F:
    """Add the options of learning, imaging and hardware to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_request(*, traj: str, shots: int | None, out: Path | None, **options: Any) -> Any:
    """The `DesignRequest` of a command line in mm, ms, us and degrees; refuses what cannot be meant."""
    from math import radians

    from seqopt.core import Protocol
    from seqopt.workflows.design_request import DesignRequest

    check_units(shots=shots, **options)
    geometry = geometry_of(options)
    milli = {name: None if options[name] is None else options[name] * 1e-3 for name in ("te", "tr")}
    extra = {name: options[name] for name in _PASSED_ON if name in options}
    scanner, limits = scanner_of(options)
    extra |= limits | versions_of(options)
    if "largest_move" in options:
        extra["largest_move_per_fov"] = options["largest_move"]
    request = DesignRequest(
        out=out or Path("designs") / "unnamed",
        traj=traj,
        shots=shots or _shots(traj, geometry, options.get("trajectory_unit")),
        geometry=geometry,
        scanner=scanner,
        protocol=Protocol(
            te_s=milli["te"],
            tr_s=milli["tr"],
            flip_rad=radians(options["flip"]),
            dummy_shots=options["dummies"],
            adc_segments=options["adc_segments"],
            calibrate=options["calibrate"],
        ),
        recipe=_recipe(options),
        readout_s=options["readout"] * 1e-3,
        dwell_s=options["dwell"] * 1e-6,
        labels={"preset": options["preset"], "budget": f"{options['budget']:g}"},
        **extra,
    )
    if out is None:
        from dataclasses import replace

        request = replace(request, out=Path("designs") / request.name)
    return request


def versions_of(options: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The Pulseq versions that were asked for; nothing where the request's default counts."""
    return {"pulseq_versions": tuple(options["pulseq_versions"])} if options.get("pulseq_versions") else {}


def scanner_of(options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The `Scanner` of a profile, with a coil's .asc file and the limits that the design is to keep; and these."""
    from seqopt.gradients.profiles import load_scanner
    from seqopt.workflows.safety import guarded, limits_to_keep

    scanner = load_scanner(options["scanner"], asc=options["asc"])
    limit_pns, avoid_resonances = limits_to_keep(scanner)
    if options["limit_pns"] is not None:
        limit_pns = None if options["limit_pns"] == NO_LIMIT else options["limit_pns"]
    if options["avoid_resonances"] is not None:
        avoid_resonances = options["avoid_resonances"]
    kept = guarded(scanner, limit_pns=limit_pns, avoid_resonances=avoid_resonances)
    return kept, {"limit_pns": limit_pns, "avoid_resonances": avoid_resonances}


def geometry_of(options: dict[str, Any]) -> Any:
    """The `Geometry` of options in mm; 256 pixels a side, 64 for a smoke test."""
    from seqopt.core import Geometry

    matrix = options["matrix"]
    if matrix is None:
        matrix = 64 if options["preset"] == "smoke" else 256
    return Geometry(
        fov_m=(options["fov"] * 1e-3, options["fov"] * 1e-3),
        matrix=(matrix, matrix),
        slices=options["slices"],
        slice_thickness_m=options["thickness"] * 1e-3,
        slice_gap_m=options["gap"] * 1e-3,
    )


def _shots(traj: str, geometry: Any, unit: str | None) -> int:
    """As many as the file has; 16 for a family."""
    from seqopt.workflows.trajectory_file import load_trajectory

    if not traj.startswith("file:"):
        return DEFAULT_SHOTS
    return len(load_trajectory(Path(traj.removeprefix("file:")).expanduser(), geometry, unit=unit).k_per_m)


_PASSED_ON = (
    *("images", "coils", "snr", "seed", "device", "backend", "resume", "overwrite", "golden", "trajectory_unit"),
    *("warm_start", "distributed", "amp", "compile", "time_optimal"),
)


def _recipe(options: dict[str, Any]) -> Any:
    from seqopt.errors import SeqoptError
    from seqopt.learn.losses import image_losses
    from seqopt.learn.recipe import choose, parse_loss
    from seqopt.learn.tasks import tasks

    recipe = choose(
        options["preset"],
        budget=options["budget"],
        form=options["form"],
        recon=options["recon"],
        loss=None if options["loss"] is None else parse_loss(options["loss"], [*image_losses, *tasks]),
        steps=options["steps"],
        batch=options["batch"],
        network_batch=options["batch"],
        network_steps=options["network_steps"],
        coarse_share=options["coarse_to_fine"],
        k_harmonics=options["k_harmonics"],
        adjoint=options["adjoint"] or None,
        patience=options["patience"],
        adjoint_weight=options["adjoint_weight"],
    )
    if recipe.form == "segments" and options["coarse_to_fine"] is not None:
        raise SeqoptError("--coarse-to-fine: the form 'segments' has no frequencies to open; leave it out")
    return recipe


def check_units(**options: Any) -> None:
    """Refuse numbers that must have been given in another unit."""
    from seqopt.errors import reject

    if not 20.0 <= options["fov"] <= 1000.0:
        raise reject(
            "--fov", got=f"{options['fov']:g} mm", expected="20..1000 mm", remedy="was it given in metres or cm?"
        )
    if options["shots"] is not None and options["shots"] < 1:
        raise reject("--shots", got=options["shots"], expected="1 or more", remedy="16 is the default")
    if options["matrix"] is not None and options["matrix"] < 1:
        raise reject("--matrix", got=options["matrix"], expected="8..4096 pixels", remedy="256 is the default")
    for name in ("te", "tr"):
        if options[name] is not None and not 0.1 <= options[name] <= 30_000.0:
            raise reject(
                f"--{name}", got=f"{options[name]:g} ms", expected="0.1..30000 ms", remedy="was it given in seconds?"
            )
    if not 0.3 <= options["thickness"] <= 500.0:
        raise reject(
            "--thickness", got=f"{options['thickness']:g} mm", expected="0.3..500 mm", remedy="was it given in metres?"
        )
