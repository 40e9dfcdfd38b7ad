"""Figures and one self-contained HTML page."""

from seqopt.report.curves import curves_figure
from seqopt.report.evaluation_figure import evaluation_figure
from seqopt.report.figures import trajectories_figure, waveforms_figure
from seqopt.report.html import LimitRow, QualityRow, Report, ReportFigure, TimingRow, render_report
from seqopt.report.image_figures import images_figure, psf_figure
from seqopt.report.png import to_png_bytes

__all__ = [
    "LimitRow",
    "QualityRow",
    "Report",
    "ReportFigure",
    "TimingRow",
    "curves_figure",
    "evaluation_figure",
    "images_figure",
    "psf_figure",
    "render_report",
    "to_png_bytes",
    "trajectories_figure",
    "waveforms_figure",
]
