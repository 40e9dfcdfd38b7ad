"""Runs the installed console script, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("seqopt")


def seqopt(*arguments: object, cwd: Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        check=False,
    )


def refused(*arguments: object, saying: str, cwd: Path | None = None) -> None:
    """Assert one clear line on stderr, exit code 2 and no traceback."""
    result = seqopt(*arguments, cwd=cwd)
    assert result.returncode == 2, (result.returncode, result.stdout, result.stderr)
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("Error: "), result.stderr
    assert saying in lines[-1], result.stderr
    assert "Traceback" not in result.stderr
