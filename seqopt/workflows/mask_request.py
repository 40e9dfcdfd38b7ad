"""All that the design of one mask depends on, checked before anything expensive starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import LEAST_CALIBRATION, CartesianProtocol, Geometry, MaskDesign, Protocol, Scanner
from seqopt.errors import SeqoptError, reject
from seqopt.learn.networks import networks
from seqopt.learn.select import refuse_bad_steps
from seqopt.learn.targets import targets
from seqopt.pulseq.cartesian import mask_sequences
from seqopt.pulseq.export import VERSIONS, check_versions
from seqopt.pulseq.line_orders import line_orders
from seqopt.recon.cartesian_loop import cartesian_in_loop
from seqopt.registry import Registry
from seqopt.sampling.masks import centre_out, refuse_impossible_mask
from seqopt.workflows.mask_recipe import MaskRecipe
from seqopt.workflows.safety import lines_within_limits, lines_within_rms

FAMILY = "igs"
_NOT_COMPARED = ("out", "resume", "overwrite", "labels", "pulseq_versions")


@dataclass(frozen=True)
class MaskTask:
    """What the images are for."""

    target: str
    """What the mask is chosen for unless told otherwise."""
    networks: tuple[str, ...]
    """Networks that fit, the first by default; empty where there is none by default."""
    optional: tuple[str, ...] = ()
    """Networks on request."""


mask_tasks: Registry[MaskTask] = Registry("task")
mask_tasks.register("reconstruction")(MaskTask("ssim", (), ("unet",)))
mask_tasks.register("segmentation")(MaskTask("dice", ("unet", "attention-unet")))
mask_tasks.register("classification")(MaskTask("cross-entropy", ("residual-classifier",)))


@dataclass(frozen=True, kw_only=True)
class MaskRequest:
    """What ``seqopt design --traj igs`` was asked for, in SI units; what is None is chosen by the rest."""

    out: Path
    geometry: Geometry
    scanner: Scanner
    protocol: Protocol
    recipe: MaskRecipe
    shots: int
    """Lines that are acquired."""
    play: CartesianProtocol = field(default_factory=CartesianProtocol)
    task: str = "reconstruction"
    target: Mapping[str, float] = field(default_factory=dict)
    """Weights by name; empty for the task's own."""
    calibration: int | None = None
    """Central lines always in; see ``usual_calibration``."""
    per_step: int = 1
    """Lines set by each pass."""
    candidates: int = 1
    """Lines of the most negative derivative that are tried before the best enter; 1 tries none, as the paper."""
    order_lines: int | None = None
    """How far the nested order is made; the shots by default."""
    swaps: bool = True
    network: str | None = None
    inner: str = "zero-filled"
    """Reconstruction inside the choice."""
    dwell_s: float = 8e-6
    images: Path | None = None
    contrast: str | None = None
    """Of a labelled folder that holds several: each has its own mask."""
    coils: int = 8
    snr: float = 50.0
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    pulseq_versions: tuple[str, ...] = VERSIONS
    """Of the files to write."""
    limit_pns: float | None = None
    """Keep nerve stimulation below this share of the model's limit; the scanner holds it as its limit."""
    avoid_resonances: bool = False
    """Keep the sequence out of the scanner's forbidden bands."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Notes for the provenance, for example the name of the preset."""

    def __post_init__(self) -> None:
        self._fill_in()
        check_versions(self.pulseq_versions)
        cartesian_in_loop[self.inner], mask_sequences[self.play.sequence], line_orders[self.play.line_order]
        for name in self.target:
            targets[name]
        if not any(weight > 0 for weight in self.target.values()):
            raise SeqoptError("target: got no weight above 0, expected at least one; write for example dice=1")
        self._check_lines()
        self._check_target()
        if self.contrast is not None and (self.images is None or self.task != "segmentation"):
            raise SeqoptError(
                f"contrast: got {self.contrast!r} without a labelled folder, expected one; give --images and "
                "--task segmentation, or leave out --contrast"
            )
        if not 1 <= self.coils <= 128:
            raise reject("coils", got=self.coils, expected="1..128", remedy="8 is the default")
        if not self.snr > 0:
            raise reject("SNR", got=self.snr, expected="a number above 0", remedy="50 is the default")
        if self.inner == "cg-sense" and not self.maps_possible:
            raise SeqoptError(
                f"calibration lines: got {self.central} for --inner cg-sense with {self.coils} coils, expected "
                f"{LEAST_CALIBRATION} or more, without which a scan gives no coil maps; raise --calibration or --shots"
            )
        if self.seed < 0:
            raise reject("seed", got=self.seed, expected="0 or more", remedy="0 is the default")
        if self.geometry.matrix[0] != self.geometry.matrix[1] or self.geometry.fov_m[0] != self.geometry.fov_m[1]:
            raise SeqoptError("a design needs a square field of view and matrix; give one number for each")
        if self.lines < 32:
            raise reject("matrix", got=self.lines, expected="32 or more to learn on", remedy="64 is quick")

    def _fill_in(self) -> None:
        task = mask_tasks[self.task]
        chosen = {
            "target": dict(self.target) or {task.target: 1.0},
            "calibration": self.calibration,
            "order_lines": self.shots if self.order_lines is None else self.order_lines,
            "network": self.network or (task.networks[0] if task.networks else None),
        }
        if self.calibration is None:
            chosen["calibration"] = usual_calibration(self.shots, self.coils)
        for name, value in chosen.items():
            object.__setattr__(self, name, value)

    def _check_lines(self) -> None:
        refuse_impossible_mask(self.lines, self.shots, self.central)
        if not self.shots <= self.nested <= self.lines:
            raise reject(
                "lines of the nested order",
                got=self.nested,
                expected=f"{self.shots}..{self.lines}",
                remedy="all lines of the mask belong to it",
            )
        if not 1 <= self.per_step <= self.lines:
            raise reject("lines a step", got=self.per_step, expected=f"1..{self.lines}", remedy="1 is the paper's")
        refuse_bad_steps(self.per_step, self.candidates)
        if self.play.sequence == "tse" and self.play.echo_train > self.shots:
            raise reject(
                "echo train", got=self.play.echo_train, expected=f"1..{self.shots}, the lines", remedy="shorten it"
            )

    def _check_target(self) -> None:
        """Names that the task cannot serve are refused now, not after its training."""
        task = mask_tasks[self.task]
        known = (*task.networks, *task.optional)
        if self.network is not None and self.network not in known:
            networks[self.network]
            raise SeqoptError(f"network {self.network!r} is not for {self.task}; known for it: {', '.join(known)}")
        of_task = {
            "dice": ("segmentation",),
            "cross-entropy": ("segmentation", "classification"),
            "soft-hinge": ("classification",),
        }
        for name in self.target:
            if self.task not in of_task.get(name, (self.task,)):
                raise SeqoptError(
                    f"target {name!r} needs the task {' or '.join(of_task[name])}, not {self.task}; "
                    "choose that --task, or l1, ssim, mse or psnr"
                )

    @property
    def lines(self) -> int:
        """Lines of the matrix."""
        return self.geometry.matrix[1]

    @property
    def central(self) -> int:
        """Calibration lines, settled."""
        assert self.calibration is not None
        return self.calibration

    @property
    def nested(self) -> int:
        """Lines of the nested order, settled."""
        assert self.order_lines is not None
        return self.order_lines

    @property
    def name(self) -> str:
        """File stem of the design."""
        return f"{FAMILY}-{self.task}-{self.shots}"

    @property
    def maps_possible(self) -> bool:
        """Whether a scan by the mask can tell the coils apart."""
        return self.coils == 1 or self.central >= LEAST_CALIBRATION

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed run must have in common with the interrupted one."""
        fields = asdict(replace(self, resume=False, overwrite=False))
        fields["version"] = metadata.version("seqopt")
        return {key: str(value) for key, value in fields.items() if key not in _NOT_COMPARED}

    def designed(self, order: npt.NDArray[np.int64], **provenance: Any) -> MaskDesign:
        """The design with these lines in nested order, as gentle as the slowest has to be."""
        slowest = self.slowest()
        design = self._designed(order, slowest.scanner, slowest.protocol, provenance)
        return lines_within_rms(design, tr_s=self.protocol.tr_s)

    def _designed(
        self, order: npt.NDArray[np.int64], scanner: Scanner, protocol: Protocol, provenance: Mapping[str, Any]
    ) -> MaskDesign:
        return MaskDesign(
            name=self.name,
            family=FAMILY,
            geometry=self.geometry,
            scanner=scanner,
            protocol=protocol,
            order=order,
            shots=self.shots,
            calibration=self.central,
            dwell_s=self.dwell_s,
            play=self.play,
            provenance=provenance,
        )

    def slowest(self) -> MaskDesign:
        """The design whose timing no choice of lines exceeds: the outermost lines beside the calibration.

        Refuses the limits to keep where it cannot keep them.
        """
        return self._slowest

    @cached_property
    def _slowest(self) -> MaskDesign:
        inner = centre_out(self.lines)
        order = np.concatenate([inner[: self.central], inner[self.central :][::-1]])
        return lines_within_limits(self, self._designed(order, self.scanner, self.protocol, {}))


def usual_calibration(shots: int, coils: int) -> int:
    """Central lines by default: 1 for one coil; else half the lines, an even number of 6 to 16.

    Coil maps cannot be had from fewer than 6, and gain little from more than 16; a mask of fewer lines has none.
    """
    if coils == 1 or shots < LEAST_CALIBRATION:
        return 1
    return max(LEAST_CALIBRATION, min(16, shots // 2 // 2 * 2))
