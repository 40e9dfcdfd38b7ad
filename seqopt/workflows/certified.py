"""What every design leaves: a sequence, certified before it gets its name, and what it was made by."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from seqopt.core import Certificate, MaskDesign, TrajectoryDesign
from seqopt.errors import SeqoptError
from seqopt.pulseq.builder import SequenceBuilder
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.export import ALL_VERSIONS, VERSIONS, sequence_name, write_sequence
from seqopt.pulseq.timing import SequenceTiming
from seqopt.workflows.store import replacing, write_text

Design = TypeVar("Design", TrajectoryDesign, MaskDesign)


@dataclass(frozen=True)
class Written:
    """One design's sequence in its versions, each measured."""

    timing: SequenceTiming
    """With the MD5 of the newest version's file."""
    certificates: tuple[Certificate, ...]
    files: tuple[str, ...]
    """Sequences and certificates, by name."""
    other_md5: Mapping[str, str] = field(default_factory=dict)
    """Version -> MD5 of the files in older versions."""

    @property
    def certificate(self) -> Certificate:
        """The first that does not hold; of the newest version where all hold."""
        return next((one for one in self.certificates if not one.holds), self.certificates[0])

    @property
    def sequence(self) -> str:
        """The newest version's file."""
        return self.files[0]


def write_certified(
    folder: Path,
    one: Design,
    build: Callable[[Design], tuple[SequenceBuilder, SequenceTiming]],
    versions: Sequence[str] = VERSIONS,
) -> Written:
    """Write ``<name>_v<version>.seq`` and its certificate for each version.

    A file whose certificate does not hold is ``<name>_v<version>.rejected.seq``. certificate.json is that of the newest
    version, certificate_v<version>.json of another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [known for known in ALL_VERSIONS if known in versions]
    sequence, timing = build(one)  # may refuse: until then what lies in the folder stays
    stale = {name for version in ALL_VERSIONS for name in _names(one.name, version, newest=False)}
    for earlier in stale | {"certificate.json"}:
        (folder / earlier).unlink(missing_ok=True)
    certificates: list[Certificate] = []
    sequences: list[str] = []
    texts: list[str] = []
    for version in wanted:
        final, rejected, text = _names(one.name, version, newest=version == wanted[0])
        with replacing(folder / rejected) as temporary:  # it gets its name only once it is certified
            write_sequence(sequence, temporary, version=version)
        certificate = certify(folder / rejected, one.scanner, design=one)
        certificate = replace(certificate, file=final if certificate.holds else rejected)
        write_text(folder / text, json.dumps(certificate.to_dict(), indent=1, sort_keys=True) + "\n")
        (folder / rejected).replace(folder / certificate.file)
        certificates.append(certificate)
        sequences.append(certificate.file)
        texts.append(text)
    newest, *others = (certificate.md5 for certificate in certificates)
    return Written(
        timing=replace(timing, md5=newest),
        certificates=tuple(certificates),
        files=(*sequences, *texts),
        other_md5=dict(zip(wanted[1:], others, strict=True)),
    )


def certify_unwritten(sequence: SequenceBuilder, design: TrajectoryDesign | MaskDesign) -> Certificate:
    """The certificate that the sequence's file would have; none is left. Raises `SeqoptError` for want of space."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / sequence_name(design.name, VERSIONS[0])
        try:
            write_sequence(sequence, path)
        except OSError as error:
            raise SeqoptError(f"cannot write {path}: {error.strerror}; free space or set TMPDIR") from error
        return certify(path, design.scanner, design=design)


def _names(name: str, version: str, *, newest: bool) -> tuple[str, str, str]:
    """Sequence, rejected sequence and certificate."""
    final = sequence_name(name, version)
    certificate = "certificate.json" if newest else f"certificate_v{version}.json"
    return final, f"{final.removesuffix('.seq')}.rejected.seq", certificate


def made_by(*packages: str) -> dict[str, Any]:
    """Versions of seqopt, what it always stands on and ``packages``, and the date: for a design's provenance."""
    names = ("seqopt", "torch", *packages, "pypulseq", "ismrmrd", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in names}},
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
