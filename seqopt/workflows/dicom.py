"""Images to anonymous DICOM (MR Image Storage): the scanner's geometry, no person, no date; pydicom is an extra."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.mrd.image_head import ImageHead, series_of
from seqopt.mrd.scan_parameters import ScanParameters
from seqopt.mrd.stacks import stacks_of
from seqopt.workflows.image_store import ImageStore
from seqopt.workflows.store import replacing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_WHITE = 65535
_POSITIONS = ("HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS")


@dataclass(frozen=True, kw_only=True)
class DicomStudy:
    """What all images of one reconstruction share."""

    geometry: Geometry
    parameters: ScanParameters
    identity: str
    """From which the study's UIDs are made: a digest of the acquired data."""
    description: str
    """Of the series: how it was made."""
    settings: str = ""
    """What tells it from other reconstructions of the same data."""

    def uid(self, *parts: object) -> str:
        """A UID under 2.25 (ISO/IEC 9834-8, a UUID as decimal) from the identity and what else is named."""
        digest = hashlib.sha256("\n".join(map(str, ("seqopt", self.identity, *parts))).encode()).digest()
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def require_pydicom() -> None:
    """Refuse before anything is computed where pydicom is not installed."""
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise SeqoptError("DICOM needs pydicom; install it with `pip install seqopt[dicom]`") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_dicom(folder: Path, store: ImageStore, study: DicomStudy) -> tuple[Path, ...]:
    """Write ``IM_0001.dcm``, ... one an image, by series, repetition and slice; equal images give equal files.

    Pixels are unsigned 16 bit with one rescale slope for all. Files of an earlier run that are no longer due go.
    """
    require_pydicom()
    slope = max(store.largest, 1e-30) / _WHITE
    written = []
    spacing_m = _spacings_m(store.heads)
    for number, (series, instance, place) in enumerate(_in_order(store.heads), start=1):
        path = folder / f"IM_{number:04d}.dcm"
        dataset = _dataset(store, place, study, series=series, instance=instance, slope=slope)
        if store.heads[place].slice in spacing_m:
            dataset.SpacingBetweenSlices = _decimal(round(1e3 * spacing_m[store.heads[place].slice], 6))
        with replacing(path) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
        written.append(path)
    for stale in set(folder.glob("IM_*.dcm")) - set(written):
        stale.unlink()
    return tuple(written)


def _in_order(heads: Sequence[ImageHead]) -> Iterator[tuple[int, int, int]]:
    """Number of the series and of the image in it, both from 1, and its place in the store."""
    for series, places in enumerate(series_of(heads).values(), start=1):
        yield from ((series, instance, place) for instance, place in enumerate(places, start=1))


def _spacings_m(heads: Sequence[ImageHead]) -> dict[int, float]:
    """Distance from centre to centre in the stack of each slice that is not alone there."""
    found = {}
    for stack in stacks_of(heads):
        positions_m = stack.placement.positions_m
        step_m = float(np.linalg.norm(positions_m[-1] - positions_m[0])) / max(1, len(positions_m) - 1)
        found.update({slice_: step_m for slice_ in stack.slices if step_m > 0})
    return found


def _dataset(
    store: ImageStore, place: int, study: DicomStudy, *, series: int, instance: int, slope: float
) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset

    head, image = store.heads[place], store.image(place)
    pixels = np.round(image / slope).clip(0, _WHITE).astype("<u2")
    series_uid = study.uid("series", study.description, study.settings, head.series)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MR_IMAGE_STORAGE
    content = hashlib.sha256(pixels.tobytes()).hexdigest()
    meta.MediaStorageSOPInstanceUID = study.uid("image", series_uid, instance, content)
    meta.TransferSyntaxUID = EXPLICIT_LITTLE_ENDIAN
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = MR_IMAGE_STORAGE
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _nobody(dataset, study)
    dataset.SeriesInstanceUID = series_uid
    dataset.SeriesNumber = series
    dataset.SeriesDescription = study.description[:64]
    dataset.InstanceNumber = instance
    dataset.AcquisitionNumber = head.repetition + 1
    _acquisition(dataset, head, study.parameters)
    _plane(dataset, head, study.geometry)
    _pixels(dataset, pixels, slope, store.window)
    return dataset


def _nobody(dataset: Dataset, study: DicomStudy) -> None:
    """Patient, study, frame of reference and equipment: what DICOM requires, of a person nothing."""
    for empty in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(dataset, empty, "")
    for empty in ("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "Laterality"):
        setattr(dataset, empty, "")
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "made from raw data without names and dates"
    dataset.StudyInstanceUID = study.uid("study")
    dataset.FrameOfReferenceUID = study.uid("frame")
    dataset.Modality = "MR"
    dataset.Manufacturer = study.parameters.manufacturer


def _acquisition(dataset: Dataset, head: ImageHead, parameters: ScanParameters) -> None:
    inversion_ms = parameters.of_contrast("ti_ms", head.contrast)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER", "M"]
    dataset.ScanningSequence = "RM" if inversion_ms is None else "IR"  # RM, research mode: raw data do not tell
    dataset.SequenceVariant = "NONE"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.EchoTrainLength = None
    dataset.EchoNumbers = head.contrast + 1
    dataset.TemporalPositionIdentifier = head.repetition + 1
    for keyword, name in (("RepetitionTime", "tr_ms"), ("EchoTime", "te_ms")):
        setattr(dataset, keyword, _decimal(parameters.of_contrast(name, head.contrast)))
    if inversion_ms is not None:
        dataset.InversionTime = _decimal(inversion_ms)
    flip_deg = parameters.of_contrast("flip_deg", head.contrast)
    if flip_deg is not None:
        dataset.FlipAngle = _decimal(flip_deg)
    if parameters.field_t is not None:
        dataset.MagneticFieldStrength = _decimal(parameters.field_t)
    if parameters.frequency_hz is not None:
        dataset.ImagingFrequency = _decimal(1e-6 * parameters.frequency_hz)
    known = parameters.patient_position in _POSITIONS
    dataset.PatientPosition = parameters.patient_position if known else ""


def _plane(dataset: Dataset, head: ImageHead, geometry: Geometry) -> None:
    """Position is the centre of the first pixel; DICOM's patient system is LPS as MRD's is."""
    voxel_x_m, voxel_y_m = geometry.voxel_m
    corner_m = (
        head.position_m
        - head.read_dir * voxel_x_m * (geometry.matrix[0] // 2)
        - head.phase_dir * voxel_y_m * (geometry.matrix[1] // 2)
    )
    dataset.ImagePositionPatient = _decimals(1e3 * corner_m)
    dataset.ImageOrientationPatient = _decimals(np.concatenate([head.read_dir, head.phase_dir]))
    dataset.PixelSpacing = _decimals(1e3 * np.array([voxel_y_m, voxel_x_m]))
    dataset.SliceThickness = _decimal(1e3 * geometry.slice_thickness_m)
    dataset.SliceLocation = _decimal(1e3 * float(head.position_m @ head.slice_dir))


def _pixels(dataset: Dataset, pixels: npt.NDArray[Any], slope: float, window: tuple[float, float]) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", _decimal(slope), "US"
    dataset.WindowCenter, dataset.WindowWidth = (_decimal(value) for value in window)
    dataset.PixelData = pixels.tobytes()


def _decimal(value: float | None) -> Any:
    """A number as DICOM writes it, in at most 16 characters; None stays empty."""
    from pydicom.valuerep import DSfloat

    return None if value is None else DSfloat(float(value), auto_format=True)


def _decimals(values: npt.NDArray[np.float64]) -> list[Any]:
    return [_decimal(value) for value in np.round(values, 10)]
