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


def test_echoes_far_from_the_centre_echo_read_lines_far_from_the_centre():
    design = replace(mask_design(shots=24), calibration=0)
    distance = np.abs(line_table(with_order(design, "centre-out"), echo_train=6, centre_echo=2) - N // 2)
    by_echo = distance.max(axis=0)
    assert by_echo[2] < by_echo[[1, 3]].min() <= by_echo[[1, 3]].max() < by_echo[[0, 4]].min() < by_echo[5]


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
