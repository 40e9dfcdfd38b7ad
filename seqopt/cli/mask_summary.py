"""What ``seqopt design --traj igs`` tells before and after its run."""

from __future__ import annotations

from typing import Any

MASK_STAGES = {  # stage: rough seconds of the quick preset on two cores, to weigh the overall bar
    "images": 12.0,
    "task": 60.0,
    "select": 30.0,
    "swaps": 40.0,
    "judge": 130.0,
    "write": 8.0,
}


def mask_stages(request: Any) -> dict[str, float]:
    """The stages of this run."""
    seconds = dict(MASK_STAGES)
    if request.task == "reconstruction" and request.network is None:
        seconds |= {"task": 0.0, "judge": 60.0}
    if not request.swaps:
        seconds["swaps"] = 0.0
    return seconds


def announce_mask(request: Any) -> str:
    """One line: what is designed."""
    target = ", ".join(f"{name}={weight:g}" for name, weight in request.target.items())
    return (
        f"Designing {request.name}: {request.shots} of {request.lines} lines (x{request.lines / request.shots:.3g}), "
        f"{request.central} of them for calibration, {request.geometry.matrix[0]} x {request.lines} pixels in "
        f"{request.geometry.fov_m[0] * 1e3:g} mm, target {target}, scanner {request.scanner.name} -> {request.out}"
    )


def show_mask(request: Any, outcome: Any, certificate: Any) -> None:
    """Tables of scores, limits and timing, what swaps gained, and the verdict."""
    from rich.console import Console

    from seqopt.cli.design import show_limits, show_verdict
    from seqopt.workflows.mask_outcome import swap_text

    console = Console(soft_wrap=True)
    for judge in outcome.judges:
        console.print(_scores_table(outcome, judge))
    choice = outcome.choice
    console.print(f"Chosen in {choice.passes} passes over {outcome.counts['selection']} images; {swap_text(choice)}.")
    console.print(f"Lines: {' '.join(str(line) for line in outcome.design.lines)}")
    show_limits(console, certificate, request.scanner)
    timing = outcome.timing
    console.print(
        f"TE {timing.te_s * 1e3:.2f} ms, TR {_tr_text(request, timing)}, {timing.readouts} readouts, "
        f"scan time {timing.scan_time_s:.3g} s"
    )
    show_verdict(console, request, outcome, certificate)


def _tr_text(request: Any, timing: Any) -> str:
    """The repetition time; of a turbo spin echo, which has a default of its own, with the shortest."""
    text = f"{timing.tr_s * 1e3:.2f} ms"
    if request.play.sequence != "tse":
        return text
    return f"{text} (default of a tse 3000 ms, shortest {timing.min_tr_s * 1e3:.2f} ms)"


def _scores_table(outcome: Any, judge: str) -> Any:
    """Means over the held-out images, narrow enough for 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from seqopt.workflows.mask_outcome import mask_rows

    rows = mask_rows(outcome, judge)
    metrics = [outcome.headline, *(name for name in rows[0].means if name not in (outcome.headline, "NMSE"))]
    table = Table(title=f"Held-out images, {judge}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("mask", no_wrap=True)
    for column in metrics:
        table.add_column(column.replace(" ", "\n", 1), justify="right", no_wrap=True)
    table.add_column("IGS\ngains", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    for row in rows:
        shown = [f"{row.means[name]:.2f}" if name == "PSNR" else f"{row.means[name]:.3f}" for name in metrics]
        gain = "" if row.gain is None else f"{row.gain:+.4f}"
        table.add_row(row.label, *shown, gain, "" if row.p is None else f"{row.p:.1g}")
    return table
