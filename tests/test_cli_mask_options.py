"""What the options of ``seqopt design --traj igs`` mean where they are left out."""

from __future__ import annotations

from typing import Any

import pytest

from seqopt.cli.design import command
from seqopt.cli.evaluate import command as evaluate
from seqopt.cli.mask_options import make_mask_request
from seqopt.cli.mask_summary import _tr_text
from seqopt.pulseq.cartesian import plan_mask

SMALL = ["--traj", "igs", "--preset", "smoke", "--matrix", "32", "--shots", "12"]


def request(*options: str) -> Any:
    with command.make_context("design", [*SMALL, *options]) as context:
        return make_mask_request(context, **context.params)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ([], "nested"),
        (["--sequence", "gre"], "nested"),
        (["--sequence", "tse"], "centre-out"),
        (["--sequence", "tse", "--line-order", "nested"], "nested"),
        (["--line-order", "linear"], "linear"),
    ],
)
def test_the_lines_of_a_tse_go_centre_out_unless_told(options: list[str], order: str) -> None:
    assert request(*options).play.line_order == order


@pytest.mark.parametrize(
    ("options", "tr_s"),
    [
        ([], None),
        (["--tr", "500"], 0.5),
        (["--sequence", "tse"], 3.0),
        (["--sequence", "tse", "--tr", "1000"], 1.0),
        (["--sequence", "tse", "--slices", "96"], None),
    ],
)
def test_a_tse_has_a_tr_of_three_seconds_or_the_shortest_if_longer(options: list[str], tr_s: float | None) -> None:
    made = request(*options)
    assert made.protocol.tr_s == tr_s
    timing = plan_mask(made.slowest())
    if tr_s is None:
        assert timing.tr_s == timing.min_tr_s
        assert (timing.min_tr_s > 3.0) == (made.play.sequence == "tse")
    else:
        assert timing.tr_s == pytest.approx(tr_s)


def test_the_summary_tells_the_default_and_the_shortest_tr_of_a_tse() -> None:
    made = request("--sequence", "tse")
    timing = plan_mask(made.slowest())
    said = _tr_text(made, timing)
    assert said == f"3000.00 ms (default of a tse 3000 ms, shortest {timing.min_tr_s * 1e3:.2f} ms)"
    echo = request()
    shortest = plan_mask(echo.slowest())
    assert _tr_text(echo, shortest) == f"{shortest.min_tr_s * 1e3:.2f} ms"


def test_candidates_are_tried_only_where_asked_for() -> None:
    assert request().candidates == 1
    assert request("--candidates", "4").candidates == 4


@pytest.mark.parametrize(
    ("options", "jobs", "threads"),
    [([], 6, 1), (["--threads", "4"], 2, 4), (["--threads", "16"], 1, 16), (["--jobs", "3"], 3, 1)],
)
def test_folds_have_one_thread_whatever_the_jobs_and_fill_the_cores(
    monkeypatch: pytest.MonkeyPatch, options: list[str], jobs: int, threads: int
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(
        "seqopt.workflows.evaluate_masks.evaluate_masks", lambda made, **_: asked.append(made) or ([], {})
    )
    small = ["--traj", "igs", "--preset", "smoke", "--matrix", "32", "--accel", "4", "--folds", "3"]
    networks = ["--task", "segmentation", "--network", "unet", "--network", "attention-unet"]
    evaluate.main([*small, *networks, *options], standalone_mode=False)
    assert (asked[0].jobs, asked[0].threads) == (jobs, threads)
