"""Quality over the number of shots, learned against fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from seqopt.errors import SeqoptError
from seqopt.report.style import FAINT, FIXED, LEARNED, new_figure, styled

Curve = Sequence[tuple[int, float, float]]
"""(shots, mean, standard deviation)."""
PEER_MARKERS = "sD^vP*"


@styled
def evaluation_figure(
    families: Mapping[str, Mapping[str, Curve]], peers: Mapping[str, Curve], *, quantity: str
) -> Figure:
    """One panel a family: fixed and learned over shots with standard deviations, the peers as marks in every panel.

    In: family -> 'fixed' and 'learned' -> [(shots, mean, sd), ...]; peer name -> the same. Raises when empty.
    """
    if not families:
        raise SeqoptError("evaluation figure: got no family, expected one or more; leave the figure out")
    figure = new_figure(3.6)
    axes = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
    for axis, (family, arms) in zip(axes, families.items(), strict=True):
        for number, (name, curve) in enumerate(peers.items()):
            marker = PEER_MARKERS[number % len(PEER_MARKERS)]
            shots, means, _ = zip(*curve, strict=True)
            axis.plot(shots, means, marker, color=FAINT, markersize=4, label=name, alpha=0.8)
        for arm, colour in (("fixed", FIXED), ("learned", LEARNED)):
            if arm in arms:
                shots, means, spreads = zip(*arms[arm], strict=True)
                axis.errorbar(shots, means, spreads, color=colour, marker="o", markersize=4, capsize=2, label=arm)
        ticks = sorted({point[0] for curve in arms.values() for point in curve})
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.set_title(family)
        axis.set_xlabel("shots")
        axis.grid(True)
    axes[0].set_ylabel(quantity)
    axes[0].legend(loc="upper left", handlelength=1.4)  # curves rise: the corner above few shots is free
    return figure
