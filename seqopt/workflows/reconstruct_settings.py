"""What a reconstruction is asked to do: settings, network weights, and the whitening of the coils."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.core import CartesianData, KspaceData
from seqopt.errors import SeqoptError
from seqopt.mrd.recon_config import MEASURED, ReconConfig, read_stated
from seqopt.pulseq.export import find_sequence
from seqopt.recon import prewhiten as white
from seqopt.recon.cartesian import DEFAULTS, cartesian_reconstructions
from seqopt.recon.choose import AUTO
from seqopt.recon.coil_maps import map_methods
from seqopt.recon.registry import DEFAULTS as DEFAULTS_OF_TRAJECTORIES
from seqopt.recon.registry import TRAINED, reconstructions, require_weights
from seqopt.workflows.store import load_network

AnyArray = npt.NDArray[Any]
DENSITIES = ("pipe-menon", "analytic", "file", "none")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The design's ``recon.toml``, or what is usual, with the options that come first."""

    config: ReconConfig
    chosen: frozenset[str]
    """Settings that an option, or a ``recon.toml`` for the same method, states."""
    given: frozenset[str]
    """Settings that an option states."""
    design_path: Path | None = None
    seq_path: Path | None = None
    """The .seq that was played, where it was given."""

    def for_cartesian(self, method: str | None = None) -> ReconConfig:
        """With the method's own iterations and regularisation, where nobody stated others."""
        return self._usual(method, DEFAULTS)

    def for_trajectories(self, method: str | None = None) -> ReconConfig:
        """The same for data along trajectories."""
        return self._usual(method, DEFAULTS_OF_TRAJECTORIES)

    def sequence(self, design_name: str | None) -> Path | None:
        """The .seq that was played: the one that was given, or else the design's own; None without either."""
        if self.seq_path is not None or self.design_path is None or design_name is None:
            return self.seq_path
        folder = self.design_path if self.design_path.is_dir() else self.design_path.parent
        return find_sequence(folder, design_name)

    def networks(self) -> list[str]:
        """Methods for which the design holds a trained network."""
        found = []
        for name in TRAINED:
            if self.design_path is None:
                break
            with contextlib.suppress(SeqoptError):
                load_network(self.design_path, name)
                found.append(name)
        return found

    def _usual(self, method: str | None, table: Mapping[str, tuple[int, float]]) -> ReconConfig:
        config = replace(self.config, method=method or self.config.method)
        if config.method not in table:
            return config
        usual = dict(zip(("iterations", "regularisation"), table[config.method], strict=True))
        changes: dict[str, Any] = {name: value for name, value in usual.items() if name not in self.chosen}
        return replace(config, **changes)


def settle(design_path: Path | None, options: Mapping[str, Any], seq_path: Path | None = None) -> Settings:
    """Settings from the design's folder and ``options``, of which None leaves what the folder says.

    ``seq_path`` is the .seq that was played, where it was given. Raises `SeqoptError` for unknown names, before
    anything is read.
    """
    given = {name: value for name, value in options.items() if value is not None}
    config, chosen = ReconConfig(cross_check=True), set(given)
    if design_path is not None:
        folder = design_path if design_path.is_dir() else design_path.parent
        if (folder / "recon.toml").exists():
            config, stated = read_stated(folder / "recon.toml")
            config = _beside(folder, config)
            if given.get("method", config.method) == config.method != AUTO:
                chosen |= {"iterations", "regularisation"} & stated
    config = replace(config, **given)
    known = list(dict.fromkeys([*reconstructions, *cartesian_reconstructions, AUTO]))
    if config.method not in known:
        raise SeqoptError(f"unknown reconstruction {config.method!r}; known: {', '.join(known)}")
    map_methods[config.maps]
    if config.density not in DENSITIES:
        raise SeqoptError(f"unknown density compensation {config.density!r}; known: {', '.join(DENSITIES)}")
    return Settings(
        config=config,
        chosen=frozenset(chosen),
        given=frozenset(given),
        design_path=design_path,
        seq_path=seq_path,
    )


def _beside(folder: Path, config: ReconConfig) -> ReconConfig:
    """With the files that ``recon.toml`` names, from its own folder."""
    if config.girf:
        config = replace(config, girf=str(folder / config.girf))
    if config.field_map not in ("", MEASURED):
        config = replace(config, field_map=str(folder / config.field_map))
    return config


def require_method(method: str, known: Iterable[str], scan_path: Path, *, data: str) -> None:
    """Refuse a method that is not for the ``data``, in words, that the scan holds."""
    if method not in known and method != AUTO:
        raise SeqoptError(
            f"the method {method!r} is not for {data} as {scan_path.name} holds; known for them: {', '.join(known)}"
        )


def network_of(config: ReconConfig, design_path: Path | None) -> Mapping[str, AnyArray] | None:
    """Weights of the method's network, None where it has none."""
    if config.method not in TRAINED:
        return None
    return require_weights(config.method, load_network(design_path, config.method) if design_path else None)


def signature_notes(played: str | None, config: ReconConfig) -> list[str]:
    """A note where the data name another sequence than the design."""
    due = {*config.seq_md5.split(), *config.seq_md5_v1_4_1.split()}
    if due and played and not due & set(played.split()):
        return [f"the data name the sequence {played[:8]}, the design's is {config.seq_md5[:8]}: was it exported anew?"]
    return []


def whitening_of(
    data: KspaceData | CartesianData, config: ReconConfig, notes: list[str], *, asked: bool
) -> npt.NDArray[np.complex128] | None:
    """The matrix that whitens the coils, (live coils, coils); None where it is not wanted or cannot be.

    Coils that recorded neither noise nor signal are left out. Raises `SeqoptError` for a noise readout that does not
    do only where whitening was ``asked`` for.
    """
    if not config.prewhiten:
        return None
    if data.noise is None or not data.noise.any():
        notes.append("no noise readout, so the coils were not prewhitened")
        return None
    live = np.asarray(data.noise.any(1) | data.samples.any((0, 2, 3)))
    try:
        covariance = white.noise_covariance(data.noise[live], noise_dwell_s=data.noise_dwell_s, dwell_s=data.dwell_s)
        whitening = np.zeros((live.sum(), len(live)), np.complex128)
        whitening[:, live] = white.whitening_matrix(covariance)
    except SeqoptError as error:
        if asked:
            raise
        notes.append(f"the coils were not prewhitened: {str(error).partition(';')[0]}")
        return None
    if not live.all():
        dead = ", ".join(map(str, np.flatnonzero(~live)))
        notes.append(f"coils that recorded nothing but zeros were left out: {dead} (counted from 0)")
    return whitening
