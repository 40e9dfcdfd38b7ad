"""``seqopt scanners``."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """List the scanner profiles, their limits and where these were published.

    Example: seqopt scanners
    """
    from seqopt.gradients.profiles import load_scanner, scanner_names
    from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m

    head = ("name", "vendor", "T", "mT/m", "T/m/s", "RF dead/ringdown, ADC dead us", "rasters us", "source")
    rows = [head]
    for name in scanner_names():
        scanner = load_scanner(name)
        dead = (scanner.rf_dead_time_s, scanner.rf_ringdown_time_s, scanner.adc_dead_time_s)
        rasters = (scanner.grad_raster_s, scanner.rf_raster_s, scanner.adc_raster_s, scanner.block_raster_s)
        rows.append(
            (
                name,
                scanner.vendor,
                f"{scanner.field_t:g}",
                f"{hz_per_m_to_mt_per_m(scanner.max_grad_hz_per_m):g}",
                f"{hz_per_m_per_s_to_t_per_m_per_s(scanner.max_slew_hz_per_m_per_s):g}",
                "/".join(f"{time * 1e6:g}" for time in dead),
                "/".join(f"{time * 1e6:g}" for time in rasters),
                scanner.source,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    for row in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
