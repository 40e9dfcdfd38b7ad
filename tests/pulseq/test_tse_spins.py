"""A turbo spin echo played on spins: rotations and precession of pypulseq's waveforms, with none of our reading."""

import numpy as np
import pypulseq as pp
import pytest
from mask_designs import mask_design

from seqopt.pulseq.cartesian import plan_mask, write_mask

POINTS_M = np.array([[0.03, -0.02], [-0.055, 0.041], [0.0, 0.07]])
AMPLITUDES = np.array([1.0, 0.6, 0.8])


def played_on_spins(path, thickness_m):
    """(readouts, samples) signal of point sources with a smooth slice profile; each excitation starts at rest."""
    sequence = pp.Sequence()
    sequence.read(str(path))
    waves, excitations, refocusings, adc, _ = sequence.waveforms_and_times()
    events = sorted(
        [(time, "excite", 0.0) for time in excitations[0]]
        + [(time, "refocus", 0.0) for time in refocusings[0]]
        + [(time, "sample", 0.0) for time in adc]
    )
    pulses = iter([sequence.get_block(n).rf for n in sequence.block_events if sequence.get_block(n).rf is not None])
    times = np.array([time for time, *_ in events])
    moments = np.stack([_moment(wave, times) for wave in waves[:3]], -1)  # 1/m
    z = (np.arange(96) + 0.5) / 96 - 0.5
    profile = np.hanning(98)[1:-1] / np.hanning(98).sum()
    place = np.concatenate([np.repeat(POINTS_M, len(z), 0), np.tile(z * thickness_m, len(POINTS_M))[:, None]], 1)
    weight = np.repeat(AMPLITUDES, len(z)) * np.tile(profile, len(POINTS_M))
    across, along = np.zeros(len(place), complex), np.ones(len(place))
    before, out = np.zeros(3), []
    for (_, kind, _), moment in zip(events, moments, strict=True):
        across = across * np.exp(-2j * np.pi * place @ (moment - before))
        before = moment
        if kind == "sample":
            out.append((across * weight).sum())
            continue
        if kind == "excite":
            across, along = np.zeros(len(place), complex), np.ones(len(place))
        pulse = next(pulses)
        flip = 2 * np.pi * abs(np.trapezoid(pulse.signal, pulse.t))
        across, along = _rotated(across, along, flip, pulse.phase_offset)
    return np.array(out)


def _moment(wave, times):
    """Exact integral of a piecewise-linear waveform (2, n) up to each time."""
    if wave.shape[1] == 0:
        return np.zeros(len(times))
    corners = np.unique(np.concatenate([wave[0], times, [0.0]]))
    values = np.interp(corners, *wave, left=0.0, right=0.0)
    total = np.concatenate([[0.0], np.cumsum(np.diff(corners) * (values[1:] + values[:-1]) / 2)])
    return total[np.searchsorted(corners, times)]


def _rotated(across, along, flip, phase):
    """Hard pulse about the axis at ``phase`` in the transverse plane."""
    turned = across * np.exp(-1j * phase)
    x, y = turned.real, turned.imag * np.cos(flip) + along * np.sin(flip)
    return (x + 1j * y) * np.exp(1j * phase), along * np.cos(flip) - turned.imag * np.sin(flip)


@pytest.mark.parametrize("refocus_deg", [180.0, 130.0])
def test_every_echo_reads_its_line_whatever_the_refocusing_angle(refocus_deg, tmp_path):
    """Under CPMG stimulated echoes add in phase: each line is that of the object times one positive number."""
    design = mask_design(
        "tse", slices=1, shots=8, matrix=(16, 16), fov_m=(0.2, 0.2), refocus_rad=np.radians(refocus_deg),
        dummy_trains=0, crusher_cycles=6.0, protocol={"te_s": 0.011},
    )  # fmt: skip
    write_mask(design, tmp_path / "a.seq")
    samples = played_on_spins(tmp_path / "a.seq", design.geometry.slice_thickness_m).reshape(-1, 32)[1:]
    kx = (np.arange(32) - 16) / (2 * 0.2)
    factors = []
    order = plan_mask(design).order
    for signal, (_, line) in zip(samples, order, strict=True):
        k = np.stack([kx, np.full(32, (line - 8) / 0.2)], -1)
        wanted = np.exp(-2j * np.pi * k @ POINTS_M.T) @ AMPLITUDES
        factor = np.vdot(wanted, signal) / np.vdot(wanted, wanted)
        assert np.linalg.norm(signal - factor * wanted) < 0.01 * np.linalg.norm(factor * wanted)
        factors.append(factor)
    turned = np.array(factors) / (1j if factors[0].imag > 0 else -1j)
    assert np.abs(turned.imag).max() < 0.01
    assert turned.real.min() > 0.7
    if refocus_deg == 180.0:
        assert np.allclose(turned.real, 1.0, atol=0.01)
    else:
        assert np.ptp(turned.real) > 0.02  # the refocusing was indeed imperfect
