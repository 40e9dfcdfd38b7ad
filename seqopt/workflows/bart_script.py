"""The same reconstruction for BART: prepared data as .cfl files and a shell script of its commands."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seqopt.encoding.cartesian import centred_ifft2
from seqopt.encoding.nufft import Nufft
from seqopt.errors import SeqoptError
from seqopt.mrd.recon_config import ReconConfig
from seqopt.workflows.reconstruct_images import Looked
from seqopt.workflows.store import replacing, write_text

AnyArray = npt.NDArray[Any]
SCRIPT = "recon.sh"
_ARRAYS = ("ksp", "maps", "traj", "weights")
_PICS = {  # method: options of `pics`; l is its weight, n its iterations
    "cg-sense": "-l2 -r {l:.6g} -i {n}",
    "l1-wavelet": "-e -R W:3:0:{l:.6g} -i {n}",
    "tv": "-m -R T:3:0:{l:.6g} -i {n}",
}
REASONS = {
    "grappa": "BART has no GRAPPA; use the method cg-sense",
    "unet": "its network is not BART's; use the method cg-sense",
    "unrolled": "its network is not BART's; use the method cg-sense",
}


def why_not(method: str) -> str | None:
    """One line on why BART cannot do a method; None where it can."""
    if method not in REASONS:
        return None
    return f"the BART script was not written: {method!r} cannot be; {REASONS[method]}"


@dataclass
class BartFolder:
    """Collects the slices of a scan in ``folder``, where they are made: each a folder of .cfl files."""

    folder: Path
    names: list[str] = field(default_factory=list)

    def add(self, name: str, looked: Looked) -> None:
        """Write one slice: ``ksp``, ``maps`` where there are some, and ``traj`` and ``weights`` or the ``pattern``."""
        place = self.folder / name
        self.names.append(name)
        if looked.k_per_m is not None:
            assert looked.weights is not None
            cycles = looked.k_per_m * np.array(looked.data.geometry.fov_m)  # (shots, samples, 2) in 1/FOV
            third = np.zeros((*cycles.shape[:2], 1))
            write_cfl(place / "traj", np.concatenate([cycles, third], -1))  # BART: 3, samples, shots
            write_cfl(place / "ksp", looked.samples[..., None])  # 1, samples, shots, coils
            write_cfl(place / "weights", np.sqrt(looked.weights)[..., None])  # 1, samples, shots
        else:
            assert looked.mask is not None
            write_cfl(place / "ksp", looked.samples[:, None])  # x, y, 1, coils
            write_cfl(place / "weights", np.broadcast_to(looked.mask[:, None], looked.samples.shape[1:]))  # x, y
        if looked.maps is not None:
            write_cfl(place / "maps", looked.maps[:, None])  # x, y, 1, coils
            write_text(place / "scale", f"{_brightest(looked, looked.maps):.9g}\n")

    def finish(self, into: Path, config: ReconConfig, matrix: tuple[int, int], *, cartesian: bool) -> Path:
        """Move the slices to ``into`` in place of earlier ones, with ``recon.sh``, one script for all.

        Raises `SeqoptError` for a method that BART does not have, and where ``into`` cannot be written.
        """
        text = script(config, self.names, matrix, cartesian=cartesian)
        remove_bart(into)
        try:
            for path in [path for path in self.folder.rglob("*") if path.is_file()]:
                moved = into / path.relative_to(self.folder)
                moved.parent.mkdir(parents=True, exist_ok=True)
                path.replace(moved)
        except OSError as error:
            raise SeqoptError(f"cannot write {into}: {error.strerror}; choose another --out") from error
        write_text(into / SCRIPT, text)
        (into / SCRIPT).chmod(0o755)
        return into / SCRIPT


def remove_bart(folder: Path) -> None:
    """Remove the script and what `BartFolder` wrote for it; what BART made, or others, stays."""
    (folder / SCRIPT).unlink(missing_ok=True)
    for place in folder.glob("image_*"):
        for name in (*(f"{array}.{ending}" for array in _ARRAYS for ending in ("cfl", "hdr")), "scale"):
            (place / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            place.rmdir()


def script(config: ReconConfig, names: list[str], matrix: tuple[int, int], *, cartesian: bool) -> str:
    """Shell commands for every slice; ``MAPS=bart`` estimates coil maps by BART's own ``ecalib``."""
    reason = why_not(config.method)
    if reason is not None:
        raise SeqoptError(reason)
    x, y = matrix
    commands = _adjoint(x, y, cartesian) if config.method in ("adjoint", "zero-filled") else _pics(config, cartesian)
    return "\n".join(
        [
            "#!/bin/sh",
            f"# What `seqopt recon` did by {config.method}, by BART 0.8 or newer: image.cfl in each slice's folder.",
            "# BART=/path/to/bart takes another one; MAPS=bart estimates coil maps by ecalib instead of seqopt's.",
            "set -e",
            'cd "$(dirname "$0")"',
            "BART=${BART:-bart}",
            f"for slice in {' '.join(names)}; do (",
            '    cd "$slice"',
            *_calibration(config, x, y, cartesian),
            *(f"    {command}" for command in commands),
            "); done",
            "",
        ]
    )


def _calibration(config: ReconConfig, x: int, y: int, cartesian: bool) -> list[str]:
    size = config.calibration
    if cartesian:
        grid = [f"        $BART ecalib -m1 -r {size} ksp maps"]
    else:
        grid = [
            f"        $BART nufft -i -d {size}:{size}:1 traj ksp lowres",
            "        $BART fft -u 3 lowres lowksp",
            f"        $BART resize -c 0 {x} 1 {y} lowksp calibration",
            f"        $BART ecalib -m1 -r {size} calibration maps",
        ]
    return ['    if [ "$MAPS" = bart ]; then', *grid, "    fi"]


def _adjoint(x: int, y: int, cartesian: bool) -> list[str]:
    if cartesian:
        return [
            "$BART fmac ksp weights lines",
            "$BART fft -iu 3 lines coils",
            "if [ -f maps.cfl ]; then $BART fmac -C -s 8 coils maps image; else $BART rss 8 coils image; fi",
        ]
    weigh = ["$BART fmac ksp weights once", "$BART fmac once weights twice"]  # they are roots of the cell areas
    return [*weigh, f"$BART nufft -a -d {x}:{y}:1 traj twice coils", "$BART rss 8 coils image"]


def _pics(config: ReconConfig, cartesian: bool) -> list[str]:
    options = _PICS[config.method].format(l=config.regularisation, n=config.iterations)
    scale = "1" if config.method == "cg-sense" else '"$(cat scale)"'
    path = "" if cartesian else "-t traj "
    return [f"$BART pics -S -w {scale} {options} {path}-p weights ksp maps image"]


def _brightest(looked: Looked, maps: AnyArray) -> float:
    """Largest pixel of the adjoint image, to which the weights of l1-wavelet and tv are relative."""
    samples = torch.from_numpy(looked.samples)[None]
    if looked.k_per_m is None:
        assert looked.mask is not None
        coils = centred_ifft2(samples * torch.from_numpy(looked.mask)[:, None])
    else:
        weights = torch.from_numpy(np.asarray(looked.weights, np.float32))
        k_per_m = torch.from_numpy(np.ascontiguousarray(looked.k_per_m))
        coils = Nufft(looked.data.geometry).adjoint(samples * weights, k_per_m)
    return float((coils[0] * torch.from_numpy(maps).conj()).sum(0).abs().max())


def write_cfl(path: Path, array: AnyArray) -> None:
    """Write ``.cfl`` and ``.hdr`` of an array whose last axis is BART's first: memory stays as it is."""
    dims = [*array.shape[::-1], *[1] * (16 - array.ndim)]
    with replacing(path.with_suffix(".cfl")) as temporary:
        temporary.write_bytes(np.ascontiguousarray(array, dtype="<c8").tobytes())
    write_text(path.with_suffix(".hdr"), "# Dimensions\n" + " ".join(map(str, dims)) + "\n")


def read_cfl(path: Path) -> AnyArray:
    """The array of ``.cfl`` and ``.hdr`` with BART's axes in reverse and no trailing ones."""
    dims = [int(size) for size in path.with_suffix(".hdr").read_text(encoding="ascii").splitlines()[1].split()]
    while len(dims) > 1 and dims[-1] == 1:
        dims.pop()
    return np.fromfile(path.with_suffix(".cfl"), "<c8").reshape(dims[::-1])
