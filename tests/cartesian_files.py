"""Cartesian MRD files as ismrmrd's own generator writes them, by direct Fourier sums; nothing of seqopt is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import ismrmrd
import numpy as np

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{samples}</x><y>{rows}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>{fov_x}</x><y>{fov_rows}</y><z>6</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>300</x><y>{fov_y}</y><z>6</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1>
        <minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
      </kspace_encoding_step_1>
    </encodingLimits>
    <trajectory>{trajectory}</trajectory>
  </encoding>
</ismrmrdHeader>"""

FOV_M = 0.3


def write_cartesian(
    path: Path,
    coil_images: np.ndarray,
    *,
    lines: Iterable[int] | None = None,
    oversampling: int = 2,
    calibration: Iterable[int] = (),
    calibration_only: Iterable[int] = (),
    centre: int | None = None,
    rows: int | None = None,
    noise: np.ndarray | None = None,
    trajectory: str = "cartesian",
    change: Callable[[list[ismrmrd.Acquisition]], list[ismrmrd.Acquisition] | None] | None = None,
) -> Path:
    """Write (slices, coils, y, x); pixels along y are those of the encoded field of view, of which ``rows`` are kept.

    ``lines`` count from the lowest ky; in the file they are counted such that ky = 0 is ``centre``. Lines in
    ``calibration`` are flagged as calibration and imaging, those in ``calibration_only`` are calibration alone.
    """
    y, x = coil_images.shape[2:]
    samples, rows, centre = oversampling * x, rows or y, y // 2 if centre is None else centre
    wanted = sorted({*(range(y) if lines is None else lines), *calibration_only})
    items = [] if noise is None else [_acquisition(noise, 0)]
    for item in items:
        item.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    along_x = fourier(samples, x, samples) / np.sqrt(x)
    along_y = fourier(y, y, y) / np.sqrt(y)
    for slice_, images in enumerate(coil_images):
        kspace = np.einsum("ly,cyx,nx->cln", along_y, images, along_x, optimize=True)
        for line in wanted:
            item = _acquisition(kspace[:, line], samples // 2)
            item.idx.slice = slice_
            item.idx.kspace_encode_step_1 = line - y // 2 + centre
            item.position[:] = (0, 0, 10.0 * slice_)
            if line in set(calibration_only):
                item.setFlag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
            elif line in set(calibration):
                item.setFlag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
            items.append(item)
    items = (change(items) or items) if change else items
    text = HEADER.format(
        samples=samples, rows=y, fov_x=300 * oversampling, fov_rows=300 * y / rows, x=x, y=rows, fov_y=300,
        last=y - 1, centre=centre, trajectory=trajectory,
    )  # fmt: skip
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as dataset:
        dataset.write_xml_header(text.encode())
        for item in items:
            dataset.append_acquisition(item)
    return path


def fourier(frequencies: int, pixels: int, period: int) -> np.ndarray:
    """exp(-2 pi i k r / period), both counted from their middles."""
    return np.exp(
        -2j * np.pi / period * np.outer(np.arange(frequencies) - frequencies // 2, np.arange(pixels) - pixels // 2)
    )


def _acquisition(data: np.ndarray, centre: int) -> ismrmrd.Acquisition:
    item = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, dtype=np.complex64))
    item.sample_time_us = 5.0
    item.center_sample = centre
    item.read_dir[:], item.phase_dir[:], item.slice_dir[:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    return item


def phantom(y: int = 32, x: int = 32) -> np.ndarray:
    """A complex ellipse with a hole and texture (y, x)."""
    v, u = np.meshgrid(np.arange(y) / y - 0.5, np.arange(x) / x - 0.5, indexing="ij")
    inside = ((u / 0.36) ** 2 + (v / 0.43) ** 2 < 1) * (1 - 0.6 * (np.hypot(u - 0.1, v + 0.1) < 0.1))
    return inside * (1 + 0.3 * np.sin(25 * u) * np.cos(18 * v)) * np.exp(1j * (u + 2 * v * v))


def ring_maps(coils: int, y: int = 32, x: int = 32) -> np.ndarray:
    """Smooth complex sensitivities (coils, y, x) of which the squares sum to 1."""
    v, u = np.meshgrid(np.arange(y) / y - 0.5, np.arange(x) / x - 0.5, indexing="ij")
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    across, down = u - 0.6 * np.cos(angle), v - 0.6 * np.sin(angle)
    raw = np.exp(-2.5 * (across**2 + down**2) + 1j * (angle + u * np.cos(angle)))
    return raw / np.sqrt((np.abs(raw) ** 2).sum(0))
