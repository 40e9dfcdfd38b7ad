"""Which slices one affine describes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oriented import GEOMETRY, ORIENTATIONS, placed, point_mm

from seqopt.mrd.image_head import heads_of, series_label, series_of
from seqopt.mrd.stacks import stacks_of


def moved(placement, order):
    return replace(placement, positions_m=placement.positions_m[list(order)])


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_affine_takes_every_voxel_to_its_place_in_the_patient(name):
    placement = placed(name)
    (stack,) = stacks_of(heads_of(placement))
    affine = stack.affine_ras_mm(GEOMETRY)
    for x, y, slice_ in ((0, 0, 0), (23, 9, 3), (5, 2, 1), (12, 5, 2)):
        lps = point_mm(placement, x, y, slice_)
        assert np.allclose(affine @ [x, y, slice_, 1], [-lps[0], -lps[1], lps[2], 1], atol=1e-9)


def test_slices_that_run_downwards_keep_their_numbers():
    (stack,) = stacks_of(heads_of(moved(placed("oblique"), (3, 2, 1, 0))))
    assert stack.slices == (0, 1, 2, 3)
    lps = 1e3 * placed("oblique").positions_m[0]
    assert np.allclose((stack.affine_ras_mm(GEOMETRY) @ [12, 5, 3, 1])[:3], lps * [-1, -1, 1])


def test_slices_numbered_in_the_order_of_interleaved_acquisition_are_sorted_by_place():
    (stack,) = stacks_of(heads_of(moved(placed("coronal"), (0, 2, 1, 3))))
    assert stack.slices == (0, 2, 1, 3)
    assert np.allclose(stack.placement.positions_m, placed("coronal").positions_m)


def test_a_localiser_of_three_planes_makes_three_stacks():
    heads = [
        replace(head, slice=3 * plane + head.slice)
        for plane, name in enumerate(("axial", "coronal", "sagittal"))
        for head in heads_of(placed(name, slices=3))
    ]
    assert [stack.slices for stack in stacks_of(heads)] == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]


def test_a_gap_in_the_row_begins_a_new_stack():
    placement = placed("axial", slices=6)
    heads = [head for head in heads_of(placement) if head.slice != 3]
    assert [stack.slices for stack in stacks_of(heads)] == [(0, 1, 2), (4, 5)]


def test_slices_shifted_within_their_planes_keep_a_sheared_affine():
    placement = placed("oblique")
    sheared = replace(placement, positions_m=placement.positions_m + np.arange(4)[:, None] * 0.001 * placement.read_dir)
    (stack,) = stacks_of(heads_of(sheared))
    lps = point_mm(sheared, 3, 4, 2)
    assert np.allclose((stack.affine_ras_mm(GEOMETRY) @ [3, 4, 2, 1])[:3], lps * [-1, -1, 1])


def test_labels_name_only_the_counters_that_vary():
    heads = [head for echo in (0, 1) for head in heads_of(placed("axial"), contrast=echo, set=2)]
    series = series_of(heads)
    assert list(series) == [(0, 2, 0), (1, 2, 0)]
    assert [series_label(key, list(series)) for key in series] == ["_contrast0", "_contrast1"]
    assert series_label((0, 2, 0), [(0, 2, 0)]) == ""
