"""Frozen data classes that check themselves once; numpy only."""

from seqopt.core.cartesian_data import LEAST_CALIBRATION, CartesianData
from seqopt.core.cartesian_protocol import CartesianProtocol
from seqopt.core.certificate import Certificate, Check
from seqopt.core.design import Protocol, TrajectoryDesign
from seqopt.core.geometry import Geometry
from seqopt.core.kspace import KspaceData
from seqopt.core.mask_design import MaskDesign
from seqopt.core.scanner import Scanner

__all__ = [
    "LEAST_CALIBRATION",
    "CartesianData",
    "CartesianProtocol",
    "Certificate",
    "Check",
    "Geometry",
    "KspaceData",
    "MaskDesign",
    "Protocol",
    "Scanner",
    "TrajectoryDesign",
]
