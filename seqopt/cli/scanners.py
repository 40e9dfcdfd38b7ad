"""``seqopt scanners``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from seqopt.core import Scanner

_HEAD = (
    *("name", "vendor", "T", "mT/m", "T/m/s", "oblique"),
    *("RF dead/ringdown, ADC dead us", "rasters us", "PNS", "bands"),
)


@click.command()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the scanner profiles, their limits, where these were published and what is not.

    Profiles with the same sources share a line; with a NAME, or the path of your own .toml, that profile alone.
    Oblique: "vector" keeps the length of (x, y, z) within the limits, so that a slice may be turned; "axis" each axis
    alone.

    Example: seqopt scanners

    Example: seqopt scanners prisma
    """
    from seqopt.gradients.profiles import load_scanner, scanner_names

    scanners = [load_scanner(one) for one in ([name] if name else scanner_names())]
    rows = [_HEAD, *(_row(scanner) for scanner in scanners)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo("")
    alike: dict[tuple[str, ...], list[str]] = {}
    for scanner in scanners:
        alike.setdefault(_sources(scanner), []).append(scanner.name)
    for (source, *more), names in alike.items():
        click.echo(f"{', '.join(names)}: {source}")
        for line in more:
            click.echo(f"  {line}")
    click.echo("\nAn own .toml is given by its path; --asc FILE adds a coil's nerve coefficients and forbidden bands.")


def _row(scanner: Scanner) -> tuple[str, ...]:
    from seqopt.core import NerveResponse
    from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m

    dead = (scanner.rf_dead_time_s, scanner.rf_ringdown_time_s, scanner.adc_dead_time_s)
    rasters = (scanner.grad_raster_s, scanner.rf_raster_s, scanner.adc_raster_s, scanner.block_raster_s)
    model = "SAFE" if not isinstance(scanner.stimulation, NerveResponse) else "response"
    return (
        scanner.name,
        scanner.vendor,
        f"{scanner.field_t:g}",
        f"{hz_per_m_to_mt_per_m(scanner.max_grad_hz_per_m):g}",
        f"{hz_per_m_per_s_to_t_per_m_per_s(scanner.max_slew_hz_per_m_per_s):g}",
        scanner.oblique,
        "/".join(f"{time * 1e6:g}" for time in dead),
        "/".join(f"{time * 1e6:g}" for time in rasters),
        "-" if scanner.stimulation is None else model,
        "-" if scanner.bands is None else str(len(scanner.bands)),
    )


def _sources(scanner: Scanner) -> tuple[str, ...]:
    """Lines that say where the numbers were published, and which were not."""
    lines = [scanner.source]
    if scanner.stimulation is not None:
        lines.append(f"nerve stimulation: {scanner.stimulation.source}")
    if scanner.bands is not None:
        lines.append(f"forbidden bands: {scanner.bands_source}")
    if missing := _not_published(scanner):
        lines.append(f"not published: {', '.join(missing)}")
    return tuple(lines)


def _not_published(scanner: Scanner) -> list[str]:
    absent = {
        "nerve stimulation coefficients": scanner.stimulation,
        "forbidden bands": scanner.bands,
        "RMS gradient limit": scanner.max_rms_grad_hz_per_m,
    }
    return [name for name, value in absent.items() if value is None]
