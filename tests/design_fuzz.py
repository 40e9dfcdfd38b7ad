"""Random design settings, played without training: a certificate that holds, or one line before anything is written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqopt.core import CALIBRATION_SETS, CartesianProtocol, ForbiddenBand, Geometry, Protocol, Scanner
from seqopt.core.segments import fitting_segments
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner, scanner_names
from seqopt.learn.recipe import choose
from seqopt.pulseq.cartesian import build_mask, plan_mask
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.export import VERSIONS, sequence_bytes, write_sequence
from seqopt.pulseq.gre import build_gre, plan_gre
from seqopt.sampling.initial import initial_trajectories
from seqopt.workflows.design import check_timing
from seqopt.workflows.design_request import DesignRequest
from seqopt.workflows.mask_recipe import choose_mask_recipe
from seqopt.workflows.mask_request import MaskRequest
from seqopt.workflows.safety import guarded, limits_to_keep, soft_limits


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    kind: str
    """``held``, ``refused``, ``late`` (after learning, where only that can tell) or ``fault``."""
    text: str
    settings: str


def case(seed: int, index: int, *, small: bool = False) -> Outcome:
    """Draw settings and play them; the same for the same numbers. Small ones have few, short shots."""
    generator = np.random.default_rng([seed, index])
    settings: dict[str, Any] = {"small": small}
    try:
        with tempfile.TemporaryDirectory() as folder:
            kind, text = _play(generator, settings, Path(folder))
    except Exception as error:  # the point: nothing but SeqoptError may come, and that is caught where it is due
        kind, text = "fault", f"{type(error).__name__}: {error}"
    shown = ", ".join(f"{name}={value}" for name, value in settings.items())
    return Outcome(kind, text, f"seed {seed} case {index}: {shown}")


def _play(generator: np.random.Generator, settings: dict[str, Any], folder: Path) -> tuple[str, str]:
    try:
        settings["odd"] = bool(generator.random() < 0.25)
        made = _mask(generator, settings) if generator.random() < 0.25 else _trajectory(generator, settings)
        design, sequence, timing = made
    except SeqoptError as error:
        text = str(error)
        if "\n" in text or not 20 < len(text) < 700:
            return "fault", text
        if not settings.get("learned"):
            return "refused", text
        retimed = settings["time_optimal"] and ("time-optimal" in text or "gradient.rms" in text)
        late = retimed or text.startswith("--")  # a limit on nerves or resonances
        return ("late" if late else "fault"), f"after learning: {text}"
    version = VERSIONS[int(generator.integers(len(VERSIONS)))]
    path = folder / "a.seq"
    write_sequence(sequence, path, version=version)
    if path.stat().st_size != sequence_bytes(sequence, version):
        return "fault", "the size that was told is not the file's"
    certificate = certify(path, design.scanner, design=design)
    failures = [f"{check.name} {check.value} (limit {check.limit}) {check.where}" for check in certificate.failures]
    if certificate.summary["readouts"] != timing.readouts:
        return "fault", "the file has another number of readouts than planned"
    return "fault" if failures else "held", "; ".join(failures)


def _pick(generator: np.random.Generator, *values: Any) -> Any:
    return values[int(generator.integers(len(values)))]


def _common(generator: np.random.Generator, settings: dict[str, Any]) -> dict[str, Any]:
    """Geometry, scanner and protocol, mostly usual and sometimes odd."""
    scanner = _scanner(generator, settings)
    settings["matrix"] = matrix = int(_pick(generator, 16, 32, 48, 64, 100, 128, 192, 256, 256))
    settings["fov_mm"] = fov = float(_pick(generator, 50, 100, 180, 200, 220, 240.5, 256, 300, 500))
    settings["slices"] = slices = int(generator.integers(1, 3 if settings["small"] else 6))
    settings["thickness_mm"] = thickness = float(_pick(generator, 1.5, 3, 5, 5, 8))
    settings["gap_mm"] = gap = float(_pick(generator, 0, 0.3, 1, 2.5))
    odd = settings["odd"]
    settings["te_ms"] = te = _pick(generator, *((2.0, 5.0, 8.123) if odd else (None, None, None, 20.0, 31.007)))
    settings["tr_ms"] = tr = _pick(generator, *((10.0, 50.0, 100.01) if odd else (None, None, 1000.0, 3000.0)))
    settings["flip_deg"] = flip = float(_pick(generator, *((60, 90, 180) if odd else (1, 8, 15, 30))))
    settings["dummies"] = dummies = int(_pick(generator, 0, 1, 3))
    settings["rf_ms"] = rf = float(_pick(generator, 1.0, 2.0, 2.0, 3.001, 4.0))
    settings["spoil"] = spoil = float(_pick(generator, 0, 1, 2, 4, 4))
    return {
        "geometry": Geometry(
            fov_m=(fov * 1e-3, fov * 1e-3), matrix=(matrix, matrix), slices=slices,
            slice_thickness_m=thickness * 1e-3, slice_gap_m=gap * 1e-3,
        ),
        "scanner": scanner,
        "protocol": Protocol(
            te_s=None if te is None else te * 1e-3, tr_s=None if tr is None else tr * 1e-3,
            flip_rad=np.radians(flip), dummy_shots=dummies, rf_duration_s=rf * 1e-3, spoil_cycles=spoil,
            adc_segments=2 if odd and generator.random() < 0.2 else 1, calibrate=_calibrate(generator, settings),
        ),
        "out": Path("unused"),
    }  # fmt: skip


def _scanner(generator: np.random.Generator, settings: dict[str, Any]) -> Scanner:
    """A profile, at times with the example coil, bands of common places and limits that a design is asked to keep.

    Without the coil what is asked is refused; with it, or coefficients of the profile, what is not asked is kept, too.
    """
    settings["scanner"] = name = _pick(generator, *scanner_names())
    settings["limit_pns"] = limit = _pick(generator, None, None, None, 0.5, 0.8, 1.0)
    settings["avoid_resonances"] = avoid = bool(generator.random() < 0.2)
    settings["coil"] = coil = bool((limit or avoid) and generator.random() < 0.9)
    scanner = load_scanner(name, asc="example" if coil else None)
    if coil:
        scanner = replace(scanner, bands=(ForbiddenBand(590.0, 100.0), ForbiddenBand(1140.0, 220.0)))
    settings["rms"] = rms = _pick(generator, *[None] * 9, 0.1, 0.2, 0.4)
    if rms is not None:
        scanner = replace(scanner, max_rms_grad_hz_per_m=rms * scanner.max_grad_hz_per_m)
    usual_pns, usual_bands = limits_to_keep(scanner)
    settings["kept_pns"], settings["kept_bands"] = limit or usual_pns, avoid or usual_bands
    return guarded(scanner, limit_pns=settings["kept_pns"], avoid_resonances=settings["kept_bands"])


def _calibrate(generator: np.random.Generator, settings: dict[str, Any]) -> tuple[str, ...]:
    wanted = generator.random() < (0.1 if settings["small"] else 0.3)
    kinds = tuple(kind for kind in CALIBRATION_SETS if wanted and generator.random() < 0.6)
    settings["calibrate"] = "+".join(kinds)
    return kinds


def _trajectory(generator: np.random.Generator, settings: dict[str, Any]) -> tuple[Any, Any, Any]:
    settings["traj"] = traj = _pick(generator, *initial_trajectories)
    common = _common(generator, settings)
    scanner, protocol = common["scanner"], common["protocol"]
    raster_us = 1e6 * scanner.adc_raster_s
    rough = float(_pick(generator, 1.0, 2.0, 2.5, 3.3, 4.0, 4.0, 5.0, 10.0, 13.7))
    settings["dwell_us"] = dwell = rough if settings["odd"] else max(1, round(rough / raster_us)) * raster_us
    lengths_ms = (0.2, 0.7, 25.0) if settings["odd"] else (3, 4, 6, 10)
    settings["readout_ms"] = readout = float(_pick(generator, *lengths_ms))
    divisor = scanner.adc_samples_divisor
    samples = int(1e3 * readout / dwell / divisor) * divisor
    if not settings["odd"] and samples > scanner.adc_max_samples:
        fitting = fitting_segments(scanner, samples=samples, dwell_s=dwell * 1e-6)
        protocol = common["protocol"] = replace(protocol, adc_segments=fitting[0] if fitting else 1)
    settings["samples"], settings["segments"] = samples, protocol.adc_segments
    settings["shots"] = shots = int(_pick(generator, 1, 2, 3, 5, 8, 16))
    if settings["small"]:
        shots, samples = min(shots, 3), min(samples, int(3000 / dwell / divisor) * divisor)
    turning = settings["odd"] or traj in ("radial", "spiral", "spiral-vd", "propeller")
    settings["golden"] = golden = bool(turning and generator.random() < 0.3)
    settings["time_optimal"] = time_optimal = bool(generator.random() < 0.1)
    settings["largest_move"] = largest = float(_pick(generator, 0.5, 0.5, 0.05, 5.0))
    request = DesignRequest(
        **common, traj=traj, shots=shots, dwell_s=dwell * 1e-6, readout_s=samples * dwell * 1e-6, golden=golden,
        time_optimal=time_optimal, largest_move_per_fov=largest, recipe=choose("smoke", budget=1.0),
        limit_pns=settings["kept_pns"], avoid_resonances=settings["kept_bands"],
    )  # fmt: skip
    initial = request.initial()
    most = 0.03 * request.geometry.matrix[0]  # 6 % of the largest k, twice where the echo is put back: 15 % may pass
    settings["bend_per_fov"] = bend = min(most, float(_pick(generator, 0.0, 0.1, 0.5, 2.0)))
    check_timing(request.baseline())
    limits = soft_limits(request)
    if len(limits) != (settings["kept_pns"] is not None) + settings["kept_bands"]:
        raise AssertionError("training does not keep what was asked for")
    k_per_m = initial.k_per_m + _bent(generator, initial.k_per_m.shape, bend / request.geometry.fov_m[0])
    settings["learned"] = True
    design = request.designed(k_per_m, initial, yields=True)
    sequence, timing = build_gre(design)
    if timing != plan_gre(design):
        raise AssertionError("the plan and the sequence differ in their timing")
    return design, sequence, timing


def _bent(generator: np.random.Generator, shape: tuple[int, ...], size_per_m: float) -> Any:
    """A smooth random perturbation of each shot."""
    t = np.linspace(0, 1, shape[1])
    waves = [
        generator.normal(size=(shape[0], 1, 2)) * np.sin(2 * np.pi * (n * t + generator.random()))[None, :, None] / n
        for n in range(1, 7)
    ]
    total = sum(waves)
    return size_per_m * total / max(float(np.abs(total).max()), 1e-12)


def _mask(generator: np.random.Generator, settings: dict[str, Any]) -> tuple[Any, Any, Any]:
    settings["sequence"] = name = _pick(generator, "gre", "tse")
    common = _common(generator, settings)
    lines = common["geometry"].matrix[1]
    settings["shots"] = shots = int(min(lines, _pick(generator, 4, 8, 16, 33, 64)))
    settings["dwell_us"] = dwell = float(_pick(generator, 4.0, 8.0, 8.0, 10.0, 20.0))
    settings["echo_train"] = train = int(_pick(generator, 1, 2, 4, 8, 8, 17)) if settings["odd"] else min(4, shots)
    settings["line_order"] = order = _pick(generator, "nested", "linear", "centre-out")
    settings["refocus_deg"] = refocus = float(_pick(generator, 100, 150, 180))
    request = MaskRequest(
        **common, shots=shots, dwell_s=dwell * 1e-6, recipe=choose_mask_recipe("smoke", budget=1.0), coils=1,
        play=CartesianProtocol(
            sequence=name, line_order=order, echo_train=train, refocus_rad=np.radians(refocus),
            dummy_trains=int(generator.integers(0, 2)),
        ),
        limit_pns=settings["kept_pns"], avoid_resonances=settings["kept_bands"],
    )  # fmt: skip
    plan_mask(request.slowest())
    central = request.slowest().order[: request.central]
    others = [line for line in generator.permutation(lines).tolist() if line not in central]
    design = request.designed(np.array([*central.tolist(), *others]))
    sequence, timing = build_mask(design)
    return design, sequence, timing
