"""The XML header of an MRD file: written for every reader, and read from anyone's file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import ismrmrd.xsd as xsd

from seqopt.core import CALIBRATION_SETS, CalibrationReadout, Geometry
from seqopt.errors import SeqoptError
from seqopt.units import GAMMA_HZ_PER_T

UNIT_NAME = "trajectory_unit"
CYCLES_PER_SAMPLE = "cycles_per_encoded_sample"
CYCLES_PER_FOV = "cycles_per_fov"
SIGNATURE_NAME = "seq_signature"
_OTHER_SIGNATURE = f"{SIGNATURE_NAME}_v"
SEGMENTS_NAME = "adc_segments"
CALIBRATION_NAME = "calibration_scans"
ECHO_SPACING_NAME = "b0_echo_spacing_s"
_UINT16 = 65535
logging.getLogger("xsdata").addHandler(logging.NullHandler())  # else the parser writes to stderr of damaged headers


@dataclass(frozen=True, kw_only=True)
class LineEncoding:
    """What the header of a Cartesian scan says besides: readouts are lines of the matrix, with no trajectory."""

    oversampling: int
    """Samples along the readout over the matrix."""
    calibration: int
    """Central lines that serve coil maps and the image."""
    echo_train: int = 1
    echo_spacing_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class CalibrationEncoding:
    """What the header says of calibration scans: an encoding of their own, with a trajectory in each readout."""

    kinds: tuple[str, ...]
    """Of `CALIBRATION_SETS`."""
    lines: int
    echoes: int
    averages: int
    echo_spacing_s: float | None
    """Between the echoes of b0."""

    @classmethod
    def of(cls, readouts: Sequence[CalibrationReadout]) -> CalibrationEncoding | None:
        """Of planned readouts; None without any."""
        if not readouts:
            return None
        return cls(
            kinds=tuple(dict.fromkeys(one.kind for one in readouts)),
            lines=1 + max(one.line for one in readouts),
            echoes=1 + max(one.echo for one in readouts),
            averages=1 + max(one.average for one in readouts),
            echo_spacing_s=max(one.later_s for one in readouts) or None,
        )


@dataclass(frozen=True, kw_only=True)
class HeaderFields:
    """What the header of a 2-D scan says."""

    geometry: Geometry
    shots: int
    samples: int
    echo_sample: int
    coils: int
    field_t: float
    vendor: str
    model: str
    te_s: float | None = None
    tr_s: float | None = None
    flip_deg: float | None = None
    protocol: str = "seqopt"
    trajectory: str = "learned"
    segments: int = 1
    """Acquisitions of which a readout of ``samples`` consists."""
    seq_md5: str | None = None
    """Of the .seq, its newest version."""
    other_md5: Mapping[str, str] = field(default_factory=dict)
    """Version -> MD5 of the .seq in other versions, any of which may be played."""
    averages: int = 1
    lines: LineEncoding | None = None
    """Of a Cartesian scan; None for one with a trajectory."""
    calibration: CalibrationEncoding | None = None
    """Of calibration scans before the image; None without any."""


def build_header(fields: HeaderFields) -> bytes:
    """Schema-valid ISMRMRD XML (accepted by the schema of 1.8.0 as well: user parameters at header level only)."""
    geometry = fields.geometry
    for name, value in (("shots", fields.shots), ("samples", fields.samples), ("slices", geometry.slices)):
        if not 1 <= value <= _UINT16:
            raise SeqoptError(
                f"MRD holds {name} as 16-bit numbers: got {value}, expected 1..{_UINT16}; make it smaller"
            )
    strings = [] if fields.lines else [xsd.userParameterStringType(name=UNIT_NAME, value=CYCLES_PER_SAMPLE)]
    if fields.seq_md5:
        strings.append(xsd.userParameterStringType(name=SIGNATURE_NAME, value=fields.seq_md5))
    for version, md5 in fields.other_md5.items():
        strings.append(xsd.userParameterStringType(name=f"{_OTHER_SIGNATURE}{version}", value=md5))
    if fields.calibration:
        kinds = " ".join(fields.calibration.kinds)
        strings.append(xsd.userParameterStringType(name=CALIBRATION_NAME, value=kinds))
    if fields.segments > 1:
        strings.append(xsd.userParameterStringType(name=SEGMENTS_NAME, value=str(fields.segments)))
    header = xsd.ismrmrdHeader(
        version=2,
        measurementInformation=xsd.measurementInformationType(
            patientPosition=xsd.patientPositionType.HFS, protocolName=fields.protocol
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor=_vendor(fields.vendor),
            systemModel=fields.model,
            systemFieldStrength_T=fields.field_t,
            receiverChannels=fields.coils,
        ),
        experimentalConditions=xsd.experimentalConditionsType(
            H1resonanceFrequency_Hz=round(fields.field_t * GAMMA_HZ_PER_T)
        ),
        encoding=[_encoding(fields), *_calibration_encodings(fields)],
        sequenceParameters=_sequence_parameters(fields),
        userParameters=xsd.userParametersType(userParameterString=strings, userParameterDouble=_spacing(fields)),
    )
    text: str = xsd.ToXML(header, encoding="utf-8")
    return text.encode("utf-8")


def _vendor(vendor: str) -> str:
    """Readers conjugate what says "Siemens"; data that no Siemens scanner wrote must not say it."""
    return "seqopt" if "siemens" in vendor.lower() or not vendor else vendor


def _encoding(fields: HeaderFields) -> xsd.encodingType:
    image, encoded = _space(fields, 1), _space(fields, fields.lines.oversampling if fields.lines else 1)
    if fields.lines:
        lines = fields.geometry.matrix[1]
        return xsd.encodingType(
            encodedSpace=encoded,
            reconSpace=image,
            encodingLimits=_limits(fields, lines, segments=fields.lines.echo_train),
            trajectory=xsd.trajectoryType.CARTESIAN,
            parallelImaging=_parallel_imaging(max(1, round(lines / fields.shots)), fields.lines),
            echoTrainLength=fields.lines.echo_train,
        )
    return xsd.encodingType(
        encodedSpace=encoded,
        reconSpace=image,
        encodingLimits=_limits(fields, fields.shots, segments=fields.segments),
        trajectory=xsd.trajectoryType.OTHER,
        trajectoryDescription=xsd.trajectoryDescriptionType(
            identifier=f"seqopt-{fields.trajectory}",
            comment="traj of each acquisition: kx, ky in cycles per encoded sample (1/voxel), -0.5 to 0.5",
        ),
    )


def _spacing(fields: HeaderFields) -> list[xsd.userParameterDoubleType]:
    spacing_s = fields.calibration.echo_spacing_s if fields.calibration else None
    return [] if spacing_s is None else [xsd.userParameterDoubleType(name=ECHO_SPACING_NAME, value=spacing_s)]


def _calibration_encodings(fields: HeaderFields) -> list[xsd.encodingType]:
    """The second encoding: in the image's space, so that all trajectories have one unit."""
    if fields.calibration is None:
        return []
    found, plain = fields.calibration, replace(fields, averages=fields.calibration.averages, lines=None)
    limits = _limits(plain, found.lines, segments=fields.segments)
    limits.contrast = xsd.limitType(minimum=0, maximum=found.echoes - 1, center=0)
    limits.set = xsd.limitType(minimum=0, maximum=max(CALIBRATION_SETS.values()), center=0)
    space = _space(fields, fields.lines.oversampling if fields.lines else 1)
    return [
        xsd.encodingType(
            encodedSpace=space,
            reconSpace=_space(fields, 1),
            encodingLimits=limits,
            trajectory=xsd.trajectoryType.OTHER,
            trajectoryDescription=xsd.trajectoryDescriptionType(
                identifier="seqopt-calibration",
                comment="idx.set: "
                + ", ".join(f"{number} {kind}" for kind, number in CALIBRATION_SETS.items())
                + "; traj in cycles per encoded sample",
            ),
        )
    ]


def _space(fields: HeaderFields, oversampling: int) -> xsd.encodingSpaceType:
    geometry = fields.geometry
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=oversampling * geometry.matrix[0], y=geometry.matrix[1], z=1),
        fieldOfView_mm=xsd.fieldOfViewMm(
            x=1e3 * oversampling * geometry.fov_m[0], y=1e3 * geometry.fov_m[1], z=1e3 * geometry.slice_thickness_m
        ),
    )


def _limits(fields: HeaderFields, steps: int, *, segments: int = 1) -> xsd.encodingLimitsType:
    each = fields.samples // fields.segments
    counts = {
        "kspace_encoding_step_0": (each, fields.echo_sample % each),
        "kspace_encoding_step_1": (steps, steps // 2),
        "slice": (fields.geometry.slices, fields.geometry.slices // 2),
        "average": (fields.averages, 0),
        "segment": (segments, 0),
    }
    for name in ("kspace_encoding_step_2", "contrast", "phase", "repetition", "set"):
        counts[name] = (1, 0)
    return xsd.encodingLimitsType(
        **{name: xsd.limitType(minimum=0, maximum=count - 1, center=center) for name, (count, center) in counts.items()}
    )


def _parallel_imaging(acceleration: int, lines: LineEncoding) -> xsd.parallelImagingType:
    """A mask is irregular: its acceleration is rounded, and readers must look at the lines themselves."""
    mode = xsd.calibrationModeType.EMBEDDED if lines.calibration else xsd.calibrationModeType.OTHER
    factor = xsd.accelerationFactorType(kspace_encoding_step_1=acceleration, kspace_encoding_step_2=1)
    return xsd.parallelImagingType(accelerationFactor=factor, calibrationMode=mode)


def _sequence_parameters(fields: HeaderFields) -> xsd.sequenceParametersType | None:
    if fields.te_s is None and fields.tr_s is None and fields.flip_deg is None:
        return None
    spacing_s = fields.lines.echo_spacing_s if fields.lines else None
    return xsd.sequenceParametersType(
        TR=[] if fields.tr_s is None else [1e3 * fields.tr_s],
        TE=[] if fields.te_s is None else [1e3 * fields.te_s],
        flipAngle_deg=[] if fields.flip_deg is None else [fields.flip_deg],
        echo_spacing=[] if spacing_s is None else [1e3 * spacing_s],
    )


def with_channels(xml: bytes, channels: int) -> bytes:
    """The same header for another number of receive channels."""
    header = parse_header(xml)
    if header.acquisitionSystemInformation is None:
        header.acquisitionSystemInformation = xsd.acquisitionSystemInformationType()
    header.acquisitionSystemInformation.receiverChannels = channels
    text: str = xsd.ToXML(header, encoding="utf-8")
    return text.encode("utf-8")


def parse_header(xml: bytes | str) -> xsd.ismrmrdHeader:
    """Parse by the schema; one line on what is wrong otherwise."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the parser keeps text where a number is due, and only warns
            header = xsd.CreateFromDocument(xml)
    except Exception as error:  # the parser raises several unrelated types
        raise SeqoptError(f"the MRD header is not schema-valid ({_first_line(error)}); the file is damaged") from error
    if not header.encoding:
        raise SeqoptError("the MRD header names no encoding; the file is damaged or holds no raw data")
    return header


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def user_string(header: xsd.ismrmrdHeader, name: str) -> str | None:
    """A string of the header's user parameters, or None."""
    if header.userParameters is None:
        return None
    for parameter in header.userParameters.userParameterString:
        if parameter.name == name:
            return str(parameter.value)
    return None


def signatures(header: xsd.ismrmrdHeader) -> frozenset[str]:
    """MD5 of each version of the .seq that a header names."""
    strings = header.userParameters.userParameterString if header.userParameters else []
    named = (one for one in strings if one.name == SIGNATURE_NAME or one.name.startswith(_OTHER_SIGNATURE))
    return frozenset(str(one.value) for one in named)


def user_number(header: xsd.ismrmrdHeader, name: str) -> float | None:
    """A number of the header's user parameters, or None."""
    if header.userParameters is None:
        return None
    found = [one.value for one in header.userParameters.userParameterDouble if one.name == name]
    return float(found[0]) if found else None
