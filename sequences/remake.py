"""Make the artefacts of golden recipes anew with the installed command, on one thread.

Run: python sequences/remake.py [NAME ...]
Without a name all of them. The folder of a recipe then holds the design, its sequences with their certificates, the MRD
header and recon.toml; report, figures and scores are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
KEPT = ("design.h5", "*.seq", "*.mrd", "recon.toml", "certificate*.json")


def remake(folder: Path) -> None:
    """One recipe; what lay there is replaced once the new design is certified."""
    with TemporaryDirectory() as place:
        out = Path(place) / folder.name
        command = ["seqopt", "design", "--recipe", str(folder / "recipe.toml"), "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment)
        for path in (path for kind in KEPT for path in folder.glob(kind)):
            path.unlink()
        for path in (path for kind in KEPT for path in out.glob(kind)):
            shutil.copy(path, folder / path.name)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.parent.name for path in HERE.glob("*/recipe.toml")):
        remake(HERE / name)
