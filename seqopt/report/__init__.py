"""Figures and one self-contained HTML page."""

from seqopt.report.acceleration_figure import MaskCurve, acceleration_figure, against_figure
from seqopt.report.attribution_figure import AttributionColumn, attribution_figure
from seqopt.report.curves import curves_figure
from seqopt.report.evaluation_figure import evaluation_figure
from seqopt.report.figures import trajectories_figure, waveforms_figure
from seqopt.report.html import (
    LimitRow,
    QualityRow,
    Report,
    ReportFigure,
    ReportTable,
    TimingRow,
    render_certificate,
    render_page,
    render_report,
)
from seqopt.report.image_figures import images_figure, psf_figure
from seqopt.report.mask_figures import (
    MaskColumn,
    mask_images_figure,
    mask_scores_figure,
    strips_figure,
    target_figure,
)
from seqopt.report.png import to_png_bytes

__all__ = [
    "AttributionColumn",
    "LimitRow",
    "MaskColumn",
    "MaskCurve",
    "QualityRow",
    "Report",
    "ReportFigure",
    "ReportTable",
    "TimingRow",
    "acceleration_figure",
    "against_figure",
    "attribution_figure",
    "curves_figure",
    "evaluation_figure",
    "images_figure",
    "mask_images_figure",
    "mask_scores_figure",
    "psf_figure",
    "render_certificate",
    "render_page",
    "render_report",
    "strips_figure",
    "target_figure",
    "to_png_bytes",
    "trajectories_figure",
    "waveforms_figure",
]
