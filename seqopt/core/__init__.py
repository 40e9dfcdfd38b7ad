"""Frozen data classes that check themselves once; numpy only."""

from seqopt.core.calibration import CALIBRATION_SETS, CalibrationReadout, CalibrationScan
from seqopt.core.cartesian_data import LEAST_CALIBRATION, CartesianData
from seqopt.core.cartesian_protocol import CartesianProtocol
from seqopt.core.certificate import Certificate, Check
from seqopt.core.design import LONGEST_TR_S, Protocol, TrajectoryDesign
from seqopt.core.geometry import Geometry
from seqopt.core.kspace import KspaceData
from seqopt.core.mask_design import MaskDesign, central_lines
from seqopt.core.scanner import Scanner, scanner_from_dict
from seqopt.core.stimulation import ForbiddenBand, NerveResponse, SafeAxis, SafeModel, StimulationModel

__all__ = [
    "CALIBRATION_SETS",
    "LEAST_CALIBRATION",
    "LONGEST_TR_S",
    "CalibrationReadout",
    "CalibrationScan",
    "CartesianData",
    "CartesianProtocol",
    "Certificate",
    "Check",
    "ForbiddenBand",
    "Geometry",
    "KspaceData",
    "MaskDesign",
    "NerveResponse",
    "Protocol",
    "SafeAxis",
    "SafeModel",
    "Scanner",
    "StimulationModel",
    "TrajectoryDesign",
    "central_lines",
    "scanner_from_dict",
]
