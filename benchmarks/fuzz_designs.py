"""Random valid and invalid design settings: a certificate that holds, or one line before anything is written.

    python benchmarks/fuzz_designs.py                        # 10,000 cases; the seed is printed
    python benchmarks/fuzz_designs.py --cases 100 --seed 3
    python benchmarks/fuzz_designs.py --seed 3 --only 17     # one case again

Families, masks as gradient and turbo spin echo, shots, field of view, matrix, readout, dwell, scanner, TE, TR, slices,
RF, spoiler, segments and versions are drawn; instead of training, a smooth random bend of the initial path.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from design_fuzz import case


def main() -> None:
    """Run the cases and count what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(np.random.SeedSequence().entropy % 2**32))
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    kinds: Counter[str] = Counter()
    begin = time.perf_counter()
    for index in range(asked.cases) if asked.only is None else [asked.only]:
        outcome = case(asked.seed, index)
        kinds[outcome.kind] += 1
        if outcome.kind == "fault" or asked.only is not None:
            print(f"{outcome.kind.upper()}: {outcome.text}\n  {outcome.settings}", flush=True)
        if (index + 1) % 500 == 0:
            print(f"{index + 1} cases, {time.perf_counter() - begin:.0f} s: {dict(kinds)}", flush=True)
    seconds = time.perf_counter() - begin
    print(f"{kinds.total()} cases in {seconds:.0f} s, seed {asked.seed}: {dict(kinds)}")
    sys.exit(1 if kinds["fault"] else 0)


if __name__ == "__main__":
    main()
