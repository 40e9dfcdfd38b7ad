"""One HTML page with everything in it: numbers, figures, certificate and provenance; nothing is loaded from outside."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from numbers import Integral, Real
from typing import Any

from seqopt.core import Certificate, Check
from seqopt.report.page import PAGE
from seqopt.report.png import png_size

Value = float | int | str


@dataclass(frozen=True)
class QualityRow:
    """One metric of one reconstruction on held-out images."""

    reconstruction: str
    metric: str
    """With its unit, for example ``PSNR (dB)``."""
    fixed: Value
    learned: Value
    gain: Value
    """Above 0 where learned is better."""


@dataclass(frozen=True)
class LimitRow:
    """One measured number beside its limit."""

    quantity: str
    value: Value
    limit: Value
    unit: str = ""


@dataclass(frozen=True)
class TimingRow:
    """One duration or count."""

    quantity: str
    value: Value
    unit: str = ""


@dataclass(frozen=True)
class ReportTable:
    """Any table: numbers to the right, the first column to the left."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Value]]
    note: str = ""


@dataclass(frozen=True)
class ReportFigure:
    """One picture: PNG bytes with title and caption."""

    title: str
    caption: str
    png: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that one page says. Texts are plain text; they are escaped."""

    title: str
    lead: str
    """One or two sentences: what was done and what came out."""
    quality: Sequence[QualityRow]
    limits: Sequence[LimitRow]
    timing: Sequence[TimingRow]
    figures: Sequence[ReportFigure]
    certificate: Certificate
    provenance: Mapping[str, Any]
    files: Sequence[str] = ()
    """Names of the files beside the page."""
    tables: Sequence[ReportTable] = ()
    """After the image quality."""


def render_report(report: Report) -> str:
    """The page as text, the same for the same report. Raises for a figure that is no PNG."""
    parts = [
        f"<header><h1>{escape(report.title)}</h1><p class='lead'>{escape(report.lead)}</p>",
        f"{_verdict(report.certificate)}</header>",
        _section("Image quality on held-out images", _quality_table(report.quality)) if report.quality else "",
        *(_section(table.title, _any_table(table)) for table in report.tables),
        "<div class='pair'>",
        _section("Against the scanner's limits", _limits_table(report.limits)) if report.limits else "",
        _section("Timing", _timing_table(report.timing)) if report.timing else "",
        "</div>",
        *(_figure(figure) for figure in report.figures),
        _section("Certificate", _certificate(report.certificate)),
        _section("Not checked", _list(report.certificate.not_checked)) if report.certificate.not_checked else "",
        _section("Files", _list(report.files, code=True)) if report.files else "",
        _section("Provenance", _mapping_table(report.provenance)) if report.provenance else "",
    ]
    return _page(report.title, parts)


def render_certificate(
    certificate: Certificate, *, lead: str, limits: Sequence[LimitRow], figures: Sequence[ReportFigure]
) -> str:
    """The page of one sequence file: what did not hold first, then every check, what was not checked, and figures."""
    parts = [
        f"<header><h1>{escape(certificate.file)}</h1><p class='lead'>{escape(lead)}</p>",
        f"{_verdict(certificate)}</header>",
        _section("Certificate", _certificate(certificate)),
        _section("Not checked", _list(certificate.not_checked)) if certificate.not_checked else "",
        _section("Against the scanner's limits", _limits_table(limits)) if limits else "",
        *(_figure(figure) for figure in figures),
    ]
    return _page(certificate.file, parts)


def render_page(
    title: str,
    lead: str,
    *,
    tables: Sequence[ReportTable] = (),
    lists: Mapping[str, Sequence[str]] | None = None,
    figures: Sequence[ReportFigure] = (),
) -> str:
    """A page of tables, lists of sentences (those that are not empty) and figures, in that order."""
    parts = [
        f"<header><h1>{escape(title)}</h1><p class='lead'>{escape(lead)}</p></header>",
        *(_section(table.title, _any_table(table)) for table in tables),
        *(_section(name, _list(items)) for name, items in (lists or {}).items() if items),
        *(_figure(figure) for figure in figures),
    ]
    return _page(title, parts)


def _page(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(part for part in parts if part)
    head, rest = PAGE.split("@TITLE@")
    before, after = rest.split("@BODY@")  # cut before anything is filled in, so that no text passes for a mark
    return "".join((head, escape(title), before, body, after))


def show_number(value: object, *, signed: bool = False) -> str:
    """Four significant digits for floats, everything else as it is."""
    if isinstance(value, bool) or not isinstance(value, Real):  # Real: numpy's scalars too
        return str(value)
    sign = "+" if signed and float(value) > 0 else ""
    if isinstance(value, Integral):
        return f"{sign}{value}"
    number = float(value)
    return sign + (f"{number:.0f}" if 1e4 <= abs(number) < 1e9 else f"{number:.4g}")


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already."""

    def row(cells: Sequence[str], tag: str) -> str:
        marks = (" class='n'" if column in numbers else "" for column in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{mark}>{c}</{tag}>" for c, mark in zip(cells, marks, strict=True)) + "</tr>"

    body = "\n".join(row(cells, "td") for cells in rows)
    return f"<div class='scroll'><table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table></div>"


def _any_table(table: ReportTable) -> str:
    cells = ([escape(show_number(value)) for value in row] for row in table.rows)
    note = f"<p><small>{escape(table.note)}</small></p>" if table.note else ""
    return _table([escape(name) for name in table.head], cells, numbers=range(1, len(table.head))) + note


def _quality_table(rows: Sequence[QualityRow]) -> str:
    def cells(row: QualityRow) -> list[str]:
        good = not isinstance(row.gain, str) and row.gain > 0
        bad = not isinstance(row.gain, str) and row.gain < 0
        gain = escape(show_number(row.gain, signed=True))
        return [
            escape(row.reconstruction),
            escape(row.metric),
            escape(show_number(row.fixed)),
            f"<b>{escape(show_number(row.learned))}</b>",
            f"<span class='{'good' if good else 'bad' if bad else ''}'>{gain}</span>",
        ]

    head = ("Reconstruction", "Metric", "Fixed", "Learned", "Gain")
    return _table(head, map(cells, rows), numbers=(2, 3, 4))


def _limits_table(rows: Sequence[LimitRow]) -> str:
    def cells(row: LimitRow) -> list[str]:
        bar = ""
        if not isinstance(row.value, str) and not isinstance(row.limit, str) and row.limit > 0:
            share = 100.0 * row.value / row.limit
            kind = "over" if share > 100.0 else ""
            bar = (
                f"<span class='bar'><i class='{kind}' style='width:{min(max(share, 0.0), 100.0):.1f}%'></i></span>"
                f"<small>{share:.0f}%</small>"
            )
        shown = (show_number(row.value), show_number(row.limit), row.unit)
        return [escape(row.quantity), *map(escape, shown), bar]

    return _table(("Quantity", "Value", "Limit", "Unit", "Used"), map(cells, rows), numbers=(1, 2))


def _timing_table(rows: Sequence[TimingRow]) -> str:
    cells = ([escape(row.quantity), escape(show_number(row.value)), escape(row.unit)] for row in rows)
    return _table(("Quantity", "Value", "Unit"), cells, numbers=(1,))


def _figure(figure: ReportFigure) -> str:
    width, height = png_size(figure.png)
    data = base64.b64encode(figure.png).decode("ascii")
    return (
        f"<section><h2>{escape(figure.title)}</h2><figure><img alt='{escape(figure.title)}' width='{width}' "
        f"height='{height}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{escape(figure.caption)}</figcaption></figure></section>"
    )


def _verdict(certificate: Certificate) -> str:
    total, failed = len(certificate.checks), len(certificate.failures)
    text = f"all {total} checks hold" if not failed else f"{failed} of {total} checks do not hold"
    kind = "good" if not failed else "bad"
    return (
        f"<p class='verdict'><span class='{kind}'>{text}</span> for <code>{escape(certificate.file)}</code> "
        f"against scanner profile <b>{escape(certificate.against)}</b></p>"
    )


def _certificate(certificate: Certificate) -> str:
    def cells(check: Check) -> list[str]:
        mark = "<span class='good'>held</span>" if check.held else "<span class='bad'>not held</span>"
        note = "; ".join(text for text in (check.where, check.remedy if check.is_spelled_out else "") if text)
        shown = (show_number(check.value), show_number(check.limit), check.unit, note)
        return [mark, f"<code>{escape(check.name)}</code>", *map(escape, shown)]

    head = ("Result", "Check", "Value", "Limit", "Unit", "Worst place")
    table = _table(head, map(cells, certificate.checks), numbers=(2, 3))
    spelled_out = sorted((check for check in certificate.checks if check.is_spelled_out), key=lambda check: check.held)
    first = _table(head, map(cells, spelled_out), numbers=(2, 3)) if spelled_out else ""
    measured = _mapping_table({"MD5": certificate.md5, **certificate.summary})
    return (
        f"<p>Every number was measured on the written file <code>{escape(certificate.file)}</code>.</p>{first}"
        f"<details><summary>All {len(certificate.checks)} checks</summary>{table}</details>"
        f"<details><summary>Measured numbers</summary>{measured}</details>"
    )


def _list(items: Iterable[str], *, code: bool = False) -> str:
    shown = (f"<code>{escape(item)}</code>" if code else escape(item) for item in items)
    return "<ul>" + "".join(f"<li>{item}</li>" for item in shown) + "</ul>"


def _mapping_table(values: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, Mapping | list | tuple):
            return json.dumps(value, default=str, ensure_ascii=False, sort_keys=True)
        return show_number(value)

    rows = ([escape(str(name)), f"<span class='wrap'>{escape(text(value))}</span>"] for name, value in values.items())
    return _table(("Name", "Value"), rows)
