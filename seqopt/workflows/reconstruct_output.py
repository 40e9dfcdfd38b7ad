"""What was reconstructed, as files: image series, NIfTI, DICOM, PNG, a page on their quality and a record of how."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt import __version__
from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.image_head import series_label, series_of
from seqopt.mrd.images import write_image_series
from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.scan_parameters import ScanParameters
from seqopt.mrd.stacks import stacks_of
from seqopt.recon.cross_check import agree, tolerance_of
from seqopt.workflows.dicom import DicomStudy, digest_of, require_pydicom, write_dicom
from seqopt.workflows.earlier_run import files_of_record, remove_earlier
from seqopt.workflows.foreign import FOREIGN
from seqopt.workflows.image_store import ImageStore
from seqopt.workflows.pictures import shown_places, write_nifti_stream, write_png
from seqopt.workflows.quality import Quality, write_quality
from seqopt.workflows.store import replacing, write_text

FORMATS = ("mrd", "nifti", "png", "dicom", *FOREIGN)
USUAL_FORMATS = ("mrd", "nifti", "png")
_NO_MATTER = ("cross_check", "cross_check_sense", "design", "sequence", "header", "seqopt_version", "format_version")
"""Settings that leave the images as they are."""


@dataclass(frozen=True, kw_only=True)
class ReconSummary:
    """What was made of one scan."""

    config: ReconConfig
    slices: int
    """Of the first series."""
    matrix: tuple[int, int]
    """Pixels (x, y)."""
    volumes: int = 1
    """Repetitions, contrasts, sets and phases, all together."""
    coils: int
    shots: int
    """Readouts a slice: shots of a trajectory, lines of a Cartesian scan."""
    samples: int
    whitened: bool
    cross_check: dict[str, float] | None
    """Relative differences from sigpy, by direction; None when not asked for."""
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()
    cartesian: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the cross-check, where made, stays within its tolerance."""
        return self.cross_check is None or agree(self.cross_check)

    @property
    def images(self) -> npt.NDArray[Any]:
        """(slices, y, x) magnitude of the first volume, read back from the first NIfTI file that was written."""
        import nibabel

        first = next((path for path in self.files if path.suffix == ".nii"), None)
        if first is None:
            raise SeqoptError("the images were not written as NIfTI; read them from the files that were")
        data = np.asanyarray(nibabel.load(first).dataobj, dtype=np.float32)
        return np.ascontiguousarray((data[..., 0] if data.ndim == 4 else data).transpose(2, 1, 0))


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the images come from."""

    scan_path: Path
    design_name: str | None
    seq_signature: str | None
    geometry: Geometry
    """Of the image."""
    parameters: ScanParameters = field(default_factory=ScanParameters)
    trajectory: str | None = None
    """What was said of k beside the file: the digest of a .seq, or units."""


def require_formats(formats: Sequence[str]) -> None:
    """Refuse unknown formats, and DICOM without pydicom, before anything is computed."""
    for name in formats:
        if name not in FORMATS:
            raise SeqoptError(f"unknown output format {name!r}; known: {', '.join(FORMATS)}")
    if "dicom" in formats:
        require_pydicom()


def write_reconstruction(
    store: ImageStore,
    summary: ReconSummary,
    source: Source,
    settings: Mapping[str, Any],
    *,
    out: Path,
    formats: Sequence[str] = USUAL_FORMATS,
    quality: Quality | None = None,
    others: Sequence[Path] = (),
) -> ReconSummary:
    """Write the store's images to ``out`` in each format, ``recon.json`` and, with ``quality``, ``qc.html``.

    ``settings`` are what the record says of the method beside its name, ``others`` files that are there already. What
    an earlier record lists and this run did not write goes. Out: the summary with the files' paths.
    """
    files: list[Path] = []
    if "mrd" in formats:
        files.append(_write_mrd(out / "image.mrd", store, summary, source))
    if "nifti" in formats:
        files += _write_nifti(out, store, source.geometry)
    if "png" in formats:
        files.append(out / "image.png")
        shown = [store.image(place) for place in _previewed(store)]
        write_png(files[-1], np.stack(shown), top=store.top)
    if "dicom" in formats:
        files += _write_dicom(out / "dicom", store, summary, source, settings)
    if quality is not None:
        files.append(write_quality(out / "qc.html", summary, quality, source.scan_path.name))
    record = out / "recon.json"
    files += [record, *others]
    names = {path.relative_to(out).as_posix() for path in files}
    remove_earlier(out, files_of_record(record) - names)
    told = _record(summary, source, settings, store) | {"files": sorted(names)}
    write_text(record, json.dumps(told, indent=2, sort_keys=True) + "\n")
    return replace(summary, files=tuple(files))


def _description(summary: ReconSummary) -> str:
    return f"seqopt {__version__} {summary.config.method}"


def _write_mrd(path: Path, store: ImageStore, summary: ReconSummary, source: Source) -> Path:
    meta = {
        "ImageProcessingHistory": _description(summary),
        "SequenceDescription": source.design_name or source.scan_path.stem,
    }
    if source.seq_signature:
        meta["seq_signature"] = source.seq_signature
    places = [place for series in series_of(store.heads).values() for place in series]
    heads = [store.heads[place] for place in places]
    with replacing(path) as temporary:
        write_image_series(
            temporary, store.images(places), heads, source.geometry, meta=meta, window=store.window, pixel_bytes=4
        )
    return path


def _write_nifti(out: Path, store: ImageStore, geometry: Geometry) -> list[Path]:
    """One file a series and stack of slices; repetitions are its fourth axis. Volumes that were not scanned are 0."""
    series = series_of(store.heads)
    written = []
    for key, places in series.items():
        stacks = stacks_of([store.heads[place] for place in places])
        at = {(store.heads[place].repetition, store.heads[place].slice): place for place in places}
        repetitions = sorted({repetition for repetition, _ in at})
        for number, stack in enumerate(stacks):
            label = series_label(key, list(series)) + (f"_stack{number}" if len(stacks) > 1 else "")
            path = out / f"image{label}.nii"
            wanted = [at.get((repetition, slice_)) for repetition in repetitions for slice_ in stack.slices]
            black = np.zeros(store.shape, np.float32)
            images = (black if place is None else store.image(place) for place in wanted)
            shape = (store.shape[1], store.shape[0], len(stack.slices))
            shape_4d = (*shape, len(repetitions)) if len(repetitions) > 1 else shape
            write_nifti_stream(path, images, shape_4d, stack.affine_ras_mm(geometry))
            written.append(path)
    return written


def _previewed(store: ImageStore) -> list[int]:
    """Places of the images in the preview: those of all series in order, thinned where they are many."""
    every = [place for places in series_of(store.heads).values() for place in places]
    return [every[place] for place in shown_places(len(every))]


def _write_dicom(
    folder: Path, store: ImageStore, summary: ReconSummary, source: Source, settings: Mapping[str, Any]
) -> tuple[Path, ...]:
    study = DicomStudy(
        geometry=source.geometry,
        parameters=source.parameters,
        identity=digest_of(source.scan_path),
        description=_description(summary),
        settings=_told_apart(summary, source, settings),
    )
    return write_dicom(folder, store, study)


def _told_apart(summary: ReconSummary, source: Source, settings: Mapping[str, Any]) -> str:
    """All that makes other images of the same data, as text; files by their content."""
    config = {name: value for name, value in asdict(summary.config).items() if name not in _NO_MATTER}
    for name in ("girf", "field_map"):
        if Path(config[name]).is_file():
            config[name] = digest_of(Path(config[name]))
    other = [source.design_name, source.seq_signature, source.trajectory, source.geometry.matrix]
    return json.dumps([config, dict(settings), other], sort_keys=True)


def _record(summary: ReconSummary, source: Source, settings: Mapping[str, Any], store: ImageStore) -> dict[str, Any]:
    return {
        "scan": source.scan_path.name,
        "design": source.design_name,
        "seq_signature": source.seq_signature,
        "method": summary.config.method,
        **settings,
        "prewhitened": summary.whitened,
        "slices": summary.slices,
        "images": len(store),
        "matrix": list(source.geometry.matrix),
        "coils": summary.coils,
        "shots": summary.shots,
        "samples": summary.samples,
        "cross_check_sigpy": summary.cross_check,
        "cross_check_tolerance": {name: tolerance_of(name) for name in summary.cross_check or {}},
        "cross_check_agrees": summary.agrees,
        "notes": list(summary.notes),
        "seqopt_version": __version__,
    }
