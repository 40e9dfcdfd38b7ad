"""Families of straight lines through the centre: radial, and PROPELLER, whose blades are short trains of lines."""

from __future__ import annotations

import numpy as np

from seqopt.sampling.curves import Ride, richest
from seqopt.sampling.lines import train
from seqopt.sampling.readouts import InitialPath, Readouts, rotated, through_the_centre


def radial(readouts: Readouts) -> InitialPath:
    """Full spokes, spoke j at angle j pi / shots or j 111.246 degrees, k = 0 on sample ``samples // 2``.

    Equal angles: Peng et al., CVPR 2022. Golden angle: Winkelmann et al., IEEE TMI 26:68, 2007.
    """
    _refuse_too_many_angles(readouts)
    samples, k_max = readouts.samples, np.array(readouts.geometry.k_max_per_m)
    readouts.refuse_shorter_than(2 * k_max.max() / readouts.max_grad_hz_per_m, "to reach k-max")
    echo = samples // 2
    along = (np.arange(samples) - echo) / (samples / 2)  # -1 .. 1
    angle = readouts.angles_rad(np.pi)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * k_max
    return through_the_centre(along[None, :, None] * direction[:, None, :], echo)


def propeller(readouts: Readouts) -> InitialPath:
    """Blades of an odd number of lines 1/FOV apart, rotated about the centre (Pipe, MRM 42:963, 1999).

    As many lines a blade as the readout holds, up to what covers the disc of k-max; the centre line's k = 0 is the
    echo. Lines end on the disc, so that no rotated corner leaves k-space.
    """
    _refuse_too_many_angles(readouts)
    side = min(readouts.geometry.matrix)
    most = min(side - 1, int(np.ceil(np.pi * side / (2 * readouts.shots))) // 2 * 2 + 1)
    ride, _ = richest(lambda lines: _blade(readouts, round(lines)), readouts, least=3, most=max(most, 3), step=2)
    readouts.refuse_shorter_than(ride.needed_s, "to play a blade of three lines out to k-max")
    path, echo = ride.path(readouts)
    return through_the_centre(rotated(path, readouts.angles_rad(np.pi)), echo)


def _blade(readouts: Readouts, lines: int) -> Ride:
    ky = (np.arange(lines) - lines // 2) / max(readouts.geometry.fov_m)
    return train(readouts, np.sqrt(readouts.k_max_per_m**2 - ky**2), ky)


def _refuse_too_many_angles(readouts: Readouts) -> None:
    side = max(readouts.geometry.matrix)
    readouts.refuse_more_shots_than(int(np.ceil(np.pi / 2 * side)), "pi/2 times the matrix sample k-space fully")
