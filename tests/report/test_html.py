"""The report page: self-contained, escaped, complete, the same each time."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from seqopt.core import Certificate, Check
from seqopt.errors import SeqoptError
from seqopt.report import (
    LimitRow,
    QualityRow,
    Report,
    ReportFigure,
    TimingRow,
    curves_figure,
    render_report,
    to_png_bytes,
)

NASTY = "<script>alert('x')</script> & \"quoted\""
PNG = to_png_bytes(curves_figure({"loss": [(0, 1.0), (5, 0.5)]}), dpi=40)


def report(**changes: object) -> Report:
    checks = (
        Check(name="gradient.vector_slew", held=True, value=151.25, limit=200.0, unit="T/m/s", where="block 7"),
        Check(name="timing.te", held=False, value="5.1 ms", limit="5 ms", remedy="lengthen TE <here>"),
    )
    page = Report(
        title="radial-16",
        lead="Learned from 65 slices.",
        quality=[
            QualityRow("CG-SENSE", "PSNR (dB)", 28.123, 33.456, 5.333),
            QualityRow("U-Net", "SSIM", 0.95, 0.94, -0.01),
        ],
        limits=[LimitRow("gradient", 47.5, 50.0, "mT/m"), LimitRow("slew", 210.0, 200.0, "T/m/s")],
        timing=[TimingRow("TE", 5.125, "ms"), TimingRow("shots", 16)],
        figures=[ReportFigure("Trajectories", "Left fixed, right learned.", PNG)],
        certificate=Certificate(
            file="radial-16.seq",
            md5="0123abcd",
            scanner="paper",
            checks=checks,
            not_checked=("SAR",),
            summary={"te_ms": 5.125},
        ),
        provenance={"seed": 7, "versions": {"numpy": "2.0"}},
        files=["radial-16.seq", "recon.toml"],
    )
    return replace(page, **changes)  # type: ignore[arg-type]


class Page(HTMLParser):
    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_well_formed_and_loads_nothing_from_outside():
    text = render_report(report())
    page = Page(text)
    assert not page.open
    assert page.links and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "url(" not in text and "@import" not in text


def test_the_page_holds_every_number_it_was_given():
    words = " ".join(Page(render_report(report())).words)
    for number in ("28.12", "33.46", "+5.333", "-0.01", "0.95", "47.5", "95%", "105%", "5.125", "16", "151.2", "200"):
        assert number in words, number
    for text in ("CG-SENSE", "PSNR (dB)", "mT/m", "0123abcd", "SAR", "recon.toml", "seed", '{"numpy": "2.0"}'):
        assert text in words, text


def test_a_check_that_did_not_hold_is_said_first_and_with_its_remedy():
    words = " ".join(Page(render_report(report())).words)
    assert "1 of 2 checks do not hold" in words and "lengthen TE <here>" in words
    assert words.index("timing.te") < words.index("gradient.vector_slew")
    held = report(certificate=replace(report().certificate, checks=report().certificate.checks[:1]))
    assert "all 1 checks hold" in render_report(held)


def test_the_embedded_figure_is_the_png_itself():
    found = re.search(r"base64,([A-Za-z0-9+/=]+)'", render_report(report()))
    assert found and base64.b64decode(found[1]) == PNG


def test_every_text_is_escaped():
    check = Check(name=NASTY, held=False, value=NASTY, limit=NASTY, unit=NASTY, where=NASTY, remedy=NASTY)
    text = render_report(
        Report(
            title=NASTY,
            lead=NASTY,
            quality=[QualityRow(NASTY, NASTY, NASTY, NASTY, NASTY)],
            limits=[LimitRow(NASTY, NASTY, NASTY, NASTY)],
            timing=[TimingRow(NASTY, NASTY, NASTY)],
            figures=[ReportFigure(NASTY, NASTY, PNG)],
            certificate=Certificate(
                file=NASTY, md5=NASTY, scanner=NASTY, checks=(check,), not_checked=(NASTY,), summary={NASTY: NASTY}
            ),
            provenance={NASTY: [NASTY]},
            files=[NASTY],
        )
    )
    assert "<script" not in text and "script" not in Page(text).tags
    assert text.count("&lt;script&gt;") >= 25


def test_a_title_that_looks_like_a_mark_of_the_frame_stays_text():
    assert "<h1>@BODY@</h1>" in render_report(report(title="@BODY@"))


def test_the_same_report_gives_the_same_page():
    assert render_report(report()) == render_report(report())


def test_a_figure_that_is_no_png_is_refused():
    with pytest.raises(SeqoptError, match="no PNG"):
        render_report(report(figures=[ReportFigure("x", "y", b"GIF89a")]))
