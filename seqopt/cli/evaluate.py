"""``seqopt evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seqopt.cli.design_options import make_request, recipe_option, shared_options


@click.command("evaluate")
@recipe_option
@click.option(
    "--traj",
    "families",
    multiple=True,
    default=("cartesian", "radial", "spiral"),
    show_default=True,
    help="Initial trajectory to learn from, a name or NAME+golden; repeatable.",
)
@click.option(
    "--shots", type=int, multiple=True, default=(4, 8, 16, 32), show_default=True, help="Shots a slice; repeatable."
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    help="Fixed trajectory to judge beside them: a name, NAME+golden, or file:PATH with {shots} in it; repeatable.",
)
@click.option("--baseline-unit", help="Unit of k in the baselines' files: 1/m, 1/fov, cycles or radians.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Cells at a time; each takes its share of cores.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("evaluation"), show_default=True, help="Directory."
)
@shared_options
@click.option("--overwrite", is_flag=True, help="Replace cells that were made with other settings.")
def command(**options: Any) -> int:
    """Learn and judge over families and numbers of shots: one table, fixed against learned.

    Each cell is a whole design in OUT/cells, certified .seq included, judged image by image on held-out slices with the
    same reconstruction, coils, noise, readout time and training budget as its fixed trajectory. Leaves evaluation.csv,
    evaluation.md and figures. A second call with the same options runs what is missing. Exit 2 when a cell failed.

    Example: seqopt evaluate --traj radial --traj spiral --shots 8 --shots 16 --jobs 2
    """
    import os
    import signal

    own = {name: options.pop(name) for name in ("families", "baselines", "baseline_unit", "jobs", "out", "overwrite")}
    shots = options.pop("shots")
    from seqopt.errors import SeqoptError
    from seqopt.workflows.evaluate import EvaluateRequest, evaluate_designs

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SeqoptError("evaluate runs on one machine and takes --jobs; start it without torchrun")
    for family in own["families"]:
        if family.startswith("file:"):
            raise SeqoptError("evaluate learns from families by name; a file can be a --baseline")
    base = make_request(traj=own["families"][0].removesuffix("+golden"), shots=min(shots), out=own["out"], **options)
    request = EvaluateRequest(base=base, shots=tuple(sorted(shots)), **own)
    asked: list[int] = []

    def interrupted(*_: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(1)
        click.echo("Stopping after this step; press Ctrl-C again to stop at once.", err=True)

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        results, failures = evaluate_designs(request, watch=click.echo, stop=lambda: bool(asked))
    finally:
        signal.signal(signal.SIGINT, previous)
    if results:
        click.echo((own["out"] / "evaluation.md").read_text(encoding="utf-8"))
        click.echo(f"Wrote to {own['out']}: evaluation.csv, evaluation.md, figures, cells/")
    if asked:
        click.echo("Interrupted; the same command goes on from here.", err=True)
        return 130
    if failures:
        named = "; ".join(f"{name}: {why}" for name, why in failures.items())
        raise SeqoptError(f"{len(failures)} of {len(request.cells())} cells failed: {named}")
    return 0
