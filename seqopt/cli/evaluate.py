"""``seqopt evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from seqopt.cli.design_options import make_request, recipe_option, shared_options
from seqopt.cli.evaluate_masks import MASK_PARAMETERS, make_masks_request, wants_masks
from seqopt.cli.mask_options import DesignCommand


@click.command("evaluate", cls=DesignCommand)
@recipe_option
@click.option(
    "--traj",
    "families",
    multiple=True,
    default=("cartesian", "radial", "spiral"),
    show_default=True,
    help="Initial trajectory to learn from, a name or NAME+golden; repeatable. Or igs: Cartesian masks.",
)
@click.option(
    "--shots",
    type=int,
    multiple=True,
    default=(4, 8, 16, 32),
    show_default=True,
    help="Shots a slice, of a mask its lines; repeatable.",
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    help="Fixed trajectory to judge beside them: a name, NAME+golden, or file:PATH with {shots} in it; repeatable.",
)
@click.option("--baseline-unit", help="Unit of k in the baselines' files: 1/m, 1/fov, cycles or radians.")
@click.option(
    "--jobs",
    type=int,
    default=1,
    help="Cells at a time, each with its share of the cores.  [default: 1]  Of masks folds at a time, each with "
    "--threads.  [default: as many as there are cores for]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("evaluation"), show_default=True, help="Directory."
)
@shared_options
@click.option("--overwrite", is_flag=True, help="Replace cells that were made with other settings.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Learn and judge over families and numbers of shots: one table, fixed against learned.

    Each cell is a whole design in OUT/cells, certified .seq included, judged image by image on held-out slices with the
    same reconstruction, coils, noise, readout time and training budget as its fixed trajectory. Leaves evaluation.csv,
    evaluation.md and figures. A second call with the same options runs what is missing. Exit 2 when a cell failed.

    With --traj igs, Cartesian masks by cross-validation: in each fold the network is trained once, one nested order of
    lines serves every acceleration, and IGS, Center, fastMRI and variable-density masks are judged on images that the
    fold never saw, with and without fine-tuning.

    Example: seqopt evaluate --traj radial --traj spiral --shots 8 --shots 16 --jobs 2

    Example: seqopt evaluate --traj igs --task segmentation --accel 4 --accel 8 --accel 16 --folds 5
    """
    import os

    from seqopt.errors import SeqoptError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SeqoptError("evaluate runs on one machine and takes --jobs; start it without torchrun")
    masks = {str(parameter.name): options.pop(str(parameter.name)) for parameter in MASK_PARAMETERS}
    if wants_masks(context, options["families"]):
        return _evaluate_masks(context, masks, options)
    return _evaluate_trajectories(options)


command.params.extend(MASK_PARAMETERS)


def _evaluate_trajectories(options: dict[str, Any]) -> int:
    own = {name: options.pop(name) for name in ("families", "baselines", "baseline_unit", "jobs", "out", "overwrite")}
    shots = options.pop("shots")
    from seqopt.errors import SeqoptError
    from seqopt.workflows.evaluate import EvaluateRequest, evaluate_designs

    for family in own["families"]:
        if family.startswith("file:"):
            raise SeqoptError("evaluate learns from families by name; a file can be a --baseline")
    base = make_request(traj=own["families"][0].removesuffix("+golden"), shots=min(shots), out=own["out"], **options)
    request = EvaluateRequest(base=base, shots=tuple(sorted(shots)), **own)
    return _run(lambda stop: evaluate_designs(request, watch=click.echo, stop=stop), own["out"], len(request.cells()))


def _evaluate_masks(context: click.Context, masks: dict[str, Any], options: dict[str, Any]) -> int:
    for name in ("families", "baselines", "baseline_unit"):
        options.pop(name)
    own = {name: masks.pop(name) for name in ("accelerations", "networks", "folds", "threads", "attribution")}
    from seqopt.workflows.evaluate_masks import evaluate_masks

    request = make_masks_request(context, own=own, **masks, **options)
    runs = len(request.fold_runs())
    return _run(lambda stop: evaluate_masks(request, watch=click.echo, stop=stop), request.out, runs)


def _run(evaluate: Callable[[Callable[[], bool]], tuple[Sequence[Any], dict[str, str]]], out: Path, cells: int) -> int:
    """Evaluate until it is done or the user stops it, and show the table."""
    import signal

    from seqopt.errors import SeqoptError

    asked: list[int] = []

    def interrupted(*_: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(1)
        click.echo("Stopping after this step; press Ctrl-C again to stop at once.", err=True)

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        results, failures = evaluate(lambda: bool(asked))
    finally:
        signal.signal(signal.SIGINT, previous)
    if results:
        click.echo((out / "evaluation.md").read_text(encoding="utf-8"))
        click.echo(f"Wrote to {out}: evaluation.csv, evaluation.md, figures, cells/")
    if asked:
        click.echo("Interrupted; the same command goes on from here.", err=True)
        return 130
    if failures:
        named = "; ".join(f"{name}: {why}" for name, why in failures.items())
        raise SeqoptError(f"{len(failures)} of {cells} cells failed: {named}")
    return 0
