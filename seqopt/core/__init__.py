"""Frozen data classes that check themselves once; numpy only."""

from seqopt.core.certificate import Certificate, Check
from seqopt.core.design import Protocol, TrajectoryDesign
from seqopt.core.geometry import Geometry
from seqopt.core.kspace import KspaceData
from seqopt.core.scanner import Scanner

__all__ = ["Certificate", "Check", "Geometry", "KspaceData", "Protocol", "Scanner", "TrajectoryDesign"]
