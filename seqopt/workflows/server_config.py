"""What a reconstruction server is to run: the JSON that clients of MRD servers and Gadgetron send before the data."""

from __future__ import annotations

import json

from seqopt.mrd.recon_config import ReconConfig

VERSION = "1.0"
_CHAINS = {"zero-filled": "default.xml", "grappa": "Generic_Cartesian_Grappa.xml"}


def no_chain(method: str, *, cartesian: bool) -> str | None:
    """One line on why no server has a method; None where Gadgetron ships a chain for it."""
    if cartesian and method in _CHAINS:
        return None
    what = "Cartesian lines" if cartesian else "any trajectory"
    remedy = "grappa and zero-filled have one" if cartesian else "serve `seqopt recon --watch` instead"
    return f"server.json was not written: Gadgetron ships no chain that does {method!r} of {what}; {remedy}"


def server_json(config: ReconConfig) -> str:
    """``version`` and ``parameters``: the chain, by its name, and the settings it may take; for what `no_chain` allows.

    Source of the form: MRD message 2, configuration text, as the public Python MRD servers read it.
    """
    parameters = {
        "config": _CHAINS[config.method],
        "method": config.method,
        "calibration": config.calibration,
        "prewhiten": config.prewhiten,
        "seq_signature": config.seq_md5,
    }
    return json.dumps({"version": VERSION, "parameters": parameters}, indent=2, sort_keys=True) + "\n"
