"""Whatever a .seq file holds, it is certified or refused in one line, in seconds and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from designs import radial_design
from pypulseq_files import GOOD

SCRIPT = Path(__file__).with_name("mutations.py")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    from seqopt.pulseq.gre import write_gre

    folder = tmp_path_factory.mktemp("real")
    write_gre(radial_design(shots=4, samples=128, wiggle=0.5), folder / "ours.seq")
    names = ("gre", "spin echo", "EPI as 1.4.1", "spiral as 1.4.1", "soft delays", "1.3.1 by hand")
    return [folder / "ours.seq", *(GOOD[name](folder / f"{name}.seq") for name in names)]


def mutate(real, *, seed, count):
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(seed), str(count), *map(str, real)],
        capture_output=True, text=True, timeout=3600, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    print(f"seed {seed}:", {key: value for key, value in told.items() if key != "wrong"})
    assert told["wrong"] == [], f"seed {seed}"
    assert told["certified"] + told["refused"] == count
    assert min(told["certified"], told["refused"]) > count / 5, "mutations reach both the reader and the checks"
    assert told["slowest_s"] < 10
    assert told["peak_mb"] < 1024


def test_three_hundred_mutations_end_in_a_certificate_or_in_one_line(real):
    mutate(real, seed=2026, count=300)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_four_thousand_mutations_end_in_a_certificate_or_in_one_line(real, seed):
    mutate(real, seed=seed, count=1000)
