"""Which echo reads which line."""

from dataclasses import replace

import numpy as np
import pytest
from mask_designs import mask_design

from seqopt.pulseq.line_orders import line_orders, line_table

N = 24


def test_there_are_three_orders():
    assert tuple(line_orders) == ("nested", "linear", "centre-out")


def test_single_lines_follow_the_named_order():
    design = mask_design()
    ways = {order: mask_design(line_order=order) for order in line_orders}
    assert line_table(ways["nested"])[:, 0].tolist() == design.order[:11].tolist()
    assert line_table(ways["linear"])[:, 0].tolist() == sorted(design.order[:11].tolist())
    distance = np.abs(line_table(ways["centre-out"])[:, 0] - N // 2)
    assert distance[0] == 0
    assert (np.diff(distance) >= 0).all()


@pytest.mark.parametrize("order", list(line_orders))
@pytest.mark.parametrize(("shots", "echo_train"), [(12, 4), (11, 4), (13, 4), (5, 5), (24, 7), (9, 1)])
def test_every_line_is_read_once_and_the_centre_at_its_echo(order, shots, echo_train):
    design = mask_design(shots=shots, line_order=order)
    for centre_echo in range(echo_train):
        table = line_table(design, echo_train=echo_train, centre_echo=centre_echo)
        assert table.shape == (-(-shots // echo_train), echo_train)
        assert sorted(table[table >= 0].tolist()) == design.lines.tolist()
        assert (table[:-1] >= 0).all()  # only the last train has echoes that are not read
        assert np.argwhere(table == N // 2)[:, 1].tolist() == [centre_echo]


def test_an_aborted_nested_scan_has_the_best_mask_of_its_trains():
    design = mask_design(shots=11, line_order="nested")
    table = line_table(design, echo_train=4, centre_echo=2)
    for trains in (1, 2, 3):
        lines = table[:trains][table[:trains] >= 0]
        assert set(lines.tolist()) == set(design.order[: min(4 * trains, 11)].tolist())


@pytest.mark.parametrize(("shots", "echo_train"), [(24, 6), (24, 8), (23, 5), (17, 4), (9, 9), (12, 2), (7, 1)])
def test_centre_out_varies_the_echo_smoothly_with_the_distance_from_the_centre(shots, echo_train):
    design = mask_design(shots=shots, line_order="centre-out")
    outwards = sorted(design.lines.tolist(), key=lambda line: (abs(line - N // 2), line))
    for centre_echo in range(echo_train):
        table = line_table(design, echo_train=echo_train, centre_echo=centre_echo)
        trains = len(table)
        echo_of = {line: echo for row in table.tolist() for echo, line in enumerate(row) if line >= 0}
        echoes = [echo_of[line] for line in outwards]
        assert echoes[: trains - 1] == [centre_echo] * (trains - 1)  # of all trains; the last may lack an echo
        at_an_end = centre_echo in (0, echo_train - 1)
        assert np.abs(np.diff(echoes)).max(initial=0) <= (1 if at_an_end else 2)


def test_nested_trains_put_a_step_beside_the_centre_that_centre_out_does_not_have():
    design = mask_design(shots=24, calibration=8, echo_train=8)
    steps = {}
    for order in ("nested", "centre-out"):
        table = line_table(with_order(design, order), echo_train=8, centre_echo=0)
        echo_of = {line: echo for row in table.tolist() for echo, line in enumerate(row)}
        steps[order] = max(abs(echo_of[line] - echo_of[line + 1]) for line in range(N // 2, N // 2 + 5))
    assert steps["nested"] >= 5
    assert steps["centre-out"] <= 1


def test_linear_bands_are_contiguous_and_turned_by_whole_bands():
    design = with_order(replace(mask_design(shots=24), calibration=0), "linear")
    table = line_table(design, echo_train=6, centre_echo=1)
    bands = [sorted(table[:, echo].tolist()) for echo in range(6)]
    assert bands[1] == [12, 13, 14, 15]
    assert bands[2] == [16, 17, 18, 19]
    assert bands[0] == [8, 9, 10, 11]
    assert bands[5] == [4, 5, 6, 7]


def with_order(design, order):
    return replace(design, play=replace(design.play, line_order=order))
