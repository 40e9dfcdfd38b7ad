"""Options of ``seqopt design --traj igs``, the request that they make, and the help that keeps them apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from seqopt.cli.design_options import DEFAULT_SHOTS

F = TypeVar("F", bound=Callable[..., Any])

IGS = "igs"
_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP, ParameterSource.ENVIRONMENT)
_TRAJECTORY_ONLY = (
    *(
        "golden",
        "trajectory_unit",
        "warm_start",
        "readout",
        "adc_segments",
        "form",
        "recon",
        "loss",
        "adjoint_weight",
        "steps",
    ),
    *("coarse_to_fine", "k_harmonics", "adjoint", "patience", "backend", "distributed", "amp", "compile"),
    *("time_optimal", "largest_move"),
)
_MASK_DWELL_US = 8.0
_TSE_TR_S = 3.0  # the magnetisation recovers, and T2 shows rather than T1

_OPTIONS = (
    click.option("--task", help="reconstruction, segmentation or classification.  [default: reconstruction]"),
    click.option(
        "--target",
        help="Weighted terms, say dice=1,ssim=0.5: l1, mse, rmse, ssim, psnr, dice, cross-entropy, soft-hinge.  "
        "[default: ssim, dice or cross-entropy, by the task]",
    ),
    click.option("--accel", type=float, help="Acceleration in place of --shots: matrix / R lines, rounded."),
    click.option(
        "--calibration",
        type=int,
        help="Central lines always in, for coil maps; 0 for none.  [default: half the lines, 6..16; 1 for 1 coil]",
    ),
    click.option("--per-step", type=int, help="Lines that each pass over the images sets.  [default: 1]"),
    click.option(
        "--candidates",
        type=int,
        help="Lines of the most negative derivative that are each tried by a forward pass before the best enters; 1 "
        "trusts the derivative.  [default: 1]",
    ),
    click.option("--order-lines", help="How far the nested order is made: lines, or all.  [default: the shots]"),
    click.option(
        "--swaps/--no-swaps", default=None, help="Swap lines afterwards where validation images gain.  [default: yes]"
    ),
    click.option(
        "--network",
        help="unet or attention-unet to segment, residual-classifier to classify, unet to restore images.  "
        "[default: the task's first; none for reconstruction]",
    ),
    click.option("--contrast", help="Which one of a labelled folder of several; each has its own mask."),
    click.option("--subjects", type=int, help="Of a labelled folder at most.  [default: 40, smoke 6]"),
    click.option("--inner", help="Reconstruction in the choice: zero-filled or cg-sense.  [default: zero-filled]"),
    click.option(
        "--sequence", help="gre or tse; a tse has a TR of 3000 ms, or the shortest if longer.  [default: gre]"
    ),
    click.option(
        "--line-order",
        help="Lines in time: nested (an aborted scan still reconstructs; modulates the centre of a tse), linear or "
        "centre-out (T2 weighting smooth in |k|).  [default: nested; tse centre-out]",
    ),
    click.option("--echo-train", type=int, help="Echoes after each excitation, tse.  [default: 8, at most the shots]"),
    click.option("--refocus", type=float, help="Flip angle of the refocusing pulses, degrees, tse.  [default: 180]"),
)


def mask_options(command: F) -> F:
    """Add the options that only masks have."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _names() -> list[str]:
    holder = mask_options(click.command()(lambda: None))
    return [str(parameter.name) for parameter in holder.params]


MASK_ONLY = tuple(_names())


class DesignCommand(click.Command):
    """A command whose help lists the options of trajectories and of masks apart from those that both have."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Three sections."""
        sections: dict[str, list[tuple[str, str]]] = {
            "Options": [],
            "Options of trajectories": [],
            "Options of Cartesian masks (--traj igs)": [],
        }
        both, trajectories, masks = sections
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name = parameter.name
                sections[masks if name in MASK_ONLY else trajectories if name in _TRAJECTORY_ONLY else both].append(
                    record
                )
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def refuse_foreign(context: click.Context, *, masks: bool) -> None:
    """Refuse options that were given and make no sense for what is designed."""
    foreign = _TRAJECTORY_ONLY if masks else MASK_ONLY
    given = [name for name in foreign if context.get_parameter_source(name) in _GIVEN]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        what = ("masks (--traj igs)", "trajectories") if masks else ("trajectories", "masks (--traj igs)")
        raise click.UsageError(f"{option}: got it for {what[0]}, expected it for {what[1]} only; leave it out")


def make_mask_request(context: click.Context, *, out: Path | None, **options: Any) -> Any:
    """The `MaskRequest` of a command line in mm, ms, us and degrees; refuses what cannot be meant."""
    from dataclasses import replace
    from math import radians

    from seqopt.cli.design_options import check_units, geometry_of, scanner_of, versions_of
    from seqopt.core import Protocol
    from seqopt.learn.targets import parse_target
    from seqopt.workflows.mask_recipe import choose_mask_recipe
    from seqopt.workflows.mask_request import MaskRequest

    refuse_foreign(context, masks=True)
    check_units(**options)
    geometry = geometry_of(options)
    scanner, limits = scanner_of(options)
    given = {name: options[name] for name in _PASSED_ON if options[name] is not None} | limits | versions_of(options)
    shots = _shots(options, geometry.matrix[1])
    play = _play(context, shots, options)
    dwell_given = context.get_parameter_source("dwell") in _GIVEN
    request = MaskRequest(
        out=out or Path("designs") / "unnamed",
        geometry=geometry,
        scanner=scanner,
        protocol=Protocol(
            te_s=None if options["te"] is None else options["te"] * 1e-3,
            tr_s=None if options["tr"] is None else options["tr"] * 1e-3,
            flip_rad=radians(options["flip"]),
            dummy_shots=options["dummies"],
            calibrate=options["calibrate"],
        ),
        play=play,
        recipe=choose_mask_recipe(
            options["preset"],
            budget=options["budget"],
            task_steps=options["network_steps"],
            batch=options["batch"],
            subjects=options["subjects"],
        ),
        shots=shots,
        target={} if options["target"] is None else parse_target(options["target"]),
        order_lines=_order_lines(options["order_lines"], geometry.matrix[1]),
        dwell_s=options["dwell"] * 1e-6 if dwell_given else _usual_dwell_s(scanner, geometry),
        labels={"preset": options["preset"], "budget": f"{options['budget']:g}"},
        **given,
    )
    request = _with_usual_tr(request)
    return replace(request, out=Path("designs") / request.name) if out is None else request


_PASSED_ON = (
    *("images", "coils", "snr", "seed", "device", "resume", "overwrite"),
    *("task", "calibration", "per_step", "candidates", "swaps", "network", "inner", "contrast"),
)


def _shots(options: dict[str, Any], lines: int) -> int:
    """Lines of the mask, the nearest whole number to an acceleration."""
    from seqopt.errors import SeqoptError, reject

    shots, accel = options["shots"], options["accel"]
    if accel is None:
        return DEFAULT_SHOTS if shots is None else int(shots)
    if shots is not None:
        raise SeqoptError(
            f"got --shots {shots} and --accel {accel:g}, expected one: each says how many lines there are"
        )
    if not 1.0 <= accel <= lines:
        raise reject("--accel", got=f"{accel:g}", expected=f"1..{lines}", remedy="4 is a quarter of the lines")
    return round(lines / float(accel))


def _with_usual_tr(request: Any) -> Any:
    """A tse without TR: 3000 ms, or the shortest where that is longer. The rest as it is."""
    from dataclasses import replace

    from seqopt.pulseq.cartesian import plan_mask

    if request.play.sequence != "tse" or request.protocol.tr_s is not None:
        return request
    if plan_mask(request.slowest()).min_tr_s > _TSE_TR_S:
        return request
    return replace(request, protocol=replace(request.protocol, tr_s=_TSE_TR_S))


def _usual_dwell_s(scanner: Any, geometry: Any) -> float:
    """8 us, or as long as the readout gradient of a small field of view needs, in whole us."""
    from math import ceil

    shortest_s: float = 1.0 / (geometry.fov_m[0] * scanner.max_grad_hz_per_m * scanner.margin)
    return max(_MASK_DWELL_US, float(ceil(shortest_s * 1e6))) * 1e-6


def _order_lines(text: str | None, lines: int) -> int | None:
    from seqopt.errors import reject

    if text is None:
        return None
    if text == "all":
        return lines
    try:
        return int(text)
    except ValueError:
        raise reject("--order-lines", got=text, expected="a whole number or all", remedy="leave it out") from None


def _play(context: click.Context, shots: int, options: dict[str, Any]) -> Any:
    """Sequence and order; the echo train is no longer than the mask unless it was asked for.

    The lines of a tse go centre-out: nested trains would put a step of T2 weighting into the centre of k-space.
    """
    from math import radians

    from seqopt.core import CartesianProtocol
    from seqopt.errors import SeqoptError

    tse = options["sequence"] == "tse"
    for name in () if tse else ("echo_train", "refocus"):
        if options[name] is not None:
            raise SeqoptError(
                f"--{name.replace('_', '-')}: got it for a gradient echo, expected it with --sequence tse"
            )
    if tse and context.get_parameter_source("flip") in _GIVEN:
        raise SeqoptError("--flip: got it for --sequence tse, which excites with 90 degrees; give --refocus")
    given = {
        "sequence": options["sequence"],
        "line_order": options["line_order"],
        "echo_train": options["echo_train"],
        "refocus_rad": None if options["refocus"] is None else radians(options["refocus"]),
        "dummy_trains": options["dummies"] if tse and context.get_parameter_source("dummies") in _GIVEN else None,
    }
    if tse:
        usual = {"echo_train": max(1, min(8, shots)), "line_order": "centre-out"}
        given |= {name: value for name, value in usual.items() if given[name] is None}
    return CartesianProtocol(**{name: value for name, value in given.items() if value is not None})
