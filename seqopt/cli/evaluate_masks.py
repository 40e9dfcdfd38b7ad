"""``seqopt evaluate --traj igs``: its options and the request that they make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from seqopt.cli.mask_options import IGS, make_mask_request, mask_options

DEFAULT_ACCELERATIONS = (4.0, 8.0, 16.0)
_OWN = (
    click.Option(
        ["--accel", "accelerations"],
        type=float,
        multiple=True,
        help="Acceleration, matrix / R lines; repeatable.  [default: 4, 8 and 16, or --shots]",
    ),
    click.Option(["--network", "networks"], multiple=True, help="As in `seqopt design`; repeatable."),
    click.Option(["--folds"], type=int, help="Of cross-validation, by subject or by block of slices.  [default: 5]"),
    click.Option(
        ["--threads"],
        type=int,
        help="Of each fold; results depend on it in their last digits, and not on --jobs.  [default: 1]",
    ),
    click.Option(
        ["--attribution"],
        is_flag=True,
        help="Draw where each network looks, by integrated gradients (pip install 'seqopt[attribution]').",
    ),
)
_NOT_HERE = ("accel", "network", "order_lines", "sequence", "line_order", "echo_train", "refocus")
"""Options of one mask and its sequence."""
_SHARED = tuple(one for one in mask_options(click.command()(lambda: None)).params if one.name not in _NOT_HERE)
MASK_PARAMETERS = (*_SHARED, *_OWN)
_ONLY_TRAJECTORIES = ("baselines", "baseline_unit")


def wants_masks(context: click.Context, families: tuple[str, ...]) -> bool:
    """Whether masks are evaluated; refuses masks beside trajectories, and the options of what is not evaluated."""
    masks = IGS in families
    if masks and len(families) > 1:
        raise click.UsageError(
            f"--traj: got {', '.join(families)}, expected {IGS} alone or trajectories alone; run the command twice"
        )
    foreign = _ONLY_TRAJECTORIES if masks else [str(parameter.name) for parameter in MASK_PARAMETERS]
    given = [name for name in foreign if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE]
    if given:
        option = next(one.opts[0] for one in context.command.params if one.name == given[0])
        what = ("masks (--traj igs)", "trajectories") if masks else ("trajectories", "masks (--traj igs)")
        raise click.UsageError(f"{option}: got it for {what[0]}, expected it for {what[1]} only; leave it out")
    return masks


def make_masks_request(
    context: click.Context, *, own: dict[str, Any], shots: tuple[int, ...], out: Path, jobs: int, **options: Any
) -> Any:
    """The `EvaluateMasksRequest` of a command line; refuses what cannot be meant."""
    from seqopt.cli.design_options import geometry_of
    from seqopt.errors import SeqoptError
    from seqopt.workflows.evaluate_masks import EvaluateMasksRequest, lines_of

    shots_given = context.get_parameter_source("shots") != click.core.ParameterSource.DEFAULT
    if shots_given and own["accelerations"]:
        raise SeqoptError("got --shots and --accel, expected one: each says how many lines there are")
    matrix = geometry_of({**options, "shots": None}).matrix[1]
    lines = shots if shots_given else lines_of(own["accelerations"] or DEFAULT_ACCELERATIONS, matrix)
    overwrite = options.pop("overwrite")
    base = make_mask_request(
        context,
        out=out,
        **options,
        **dict.fromkeys(_NOT_HERE, None) | {"network": own["networks"][0] if own["networks"] else None},
        shots=min(lines),
        resume=False,
        overwrite=False,
    )
    folds = 5 if own["folds"] is None else own["folds"]
    threads = 1 if own["threads"] is None else own["threads"]
    if context.get_parameter_source("jobs") == click.core.ParameterSource.DEFAULT:
        room = (os.cpu_count() or 1) // max(threads, 1)
        jobs = max(1, min(room, folds * max(1, len(own["networks"]))))
    return EvaluateMasksRequest(
        out=out,
        base=base,
        lines=tuple(lines),
        folds=folds,
        networks=own["networks"],
        attribution=own["attribution"],
        jobs=jobs,
        threads=threads,
        overwrite=overwrite,
    )
