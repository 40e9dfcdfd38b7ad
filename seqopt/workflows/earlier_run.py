"""Files that an earlier reconstruction left in its folder, told by its record; nothing else is ever removed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path

from seqopt.workflows.bart_script import SCRIPT, remove_bart


def files_of_record(record: Path) -> set[str]:
    """Names, relative to its folder, that a ``recon.json`` lists as written; empty where it cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return {name for name in json.loads(record.read_text(encoding="utf-8"))["files"] if isinstance(name, str)}
    return set()


def remove_earlier(out: Path, names: Collection[str]) -> None:
    """Remove files of ``out``, and folders that get empty; names that lead out of it are passed over."""
    for name in names:
        path = out / name
        if out.resolve() not in path.resolve().parents:
            continue
        if path.name == SCRIPT:
            remove_bart(path.parent)
        elif path.is_file():
            path.unlink()
        if path.parent != out:
            with contextlib.suppress(OSError):  # not empty, or gone
                path.parent.rmdir()
