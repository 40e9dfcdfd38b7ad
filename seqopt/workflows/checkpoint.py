"""The unfinished state of a design run: written whole or not at all, read without pickles."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from seqopt.errors import SeqoptError
from seqopt.workflows.store import replacing

FORMAT = "seqopt-checkpoint-1"
_OF_THE_PROJECTION = ("largest_move_per_fov", "time_optimal")
"""Settings that matter once the trajectory is learned: they may change until something stands on its projection."""
_ON_THE_PROJECTION = " learned"  # how the stages end that train on the projected trajectory


class Checkpoint:
    """Finished stages and the state of the one under way, for one request."""

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self.path, self.request = path, json.dumps(request, sort_keys=True)
        self.finished: dict[str, Any] = {}
        self.stage = ""
        self.state: dict[str, Any] | None = None
        self.history: dict[str, list[tuple[int, float]]] = {}
        self._before_s, self._began = 0.0, time.monotonic()

    @property
    def spent_s(self) -> float:
        """Seconds that the run has taken, those before its interruptions included."""
        return self._before_s + time.monotonic() - self._began

    def load(self) -> None:
        """Read the file of an earlier, interrupted run of the same request."""
        try:
            saved = torch.load(self.path, weights_only=True, map_location="cpu")
            if saved["format"] != FORMAT:
                raise KeyError("format")
            request = saved["request"]
            self.finished, self.stage, self.state = saved["finished"], saved["stage"], saved["state"]
            self.history, self._before_s = saved["history"], float(saved["seconds"])
        except (
            LookupError,
            AttributeError,
            TypeError,
            ValueError,
            OSError,
            RuntimeError,
            EOFError,
            pickle.UnpicklingError,
        ) as error:
            raise SeqoptError(
                f"{self.path} is not a checkpoint of this seqopt, or it is damaged; start anew with --overwrite"
            ) from error
        if request != self.request:
            ours, theirs = json.loads(self.request), json.loads(request)
            changed = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
            if self._projected() or not set(changed) <= {*_OF_THE_PROJECTION}:
                raise SeqoptError(
                    f"the interrupted run had other settings ({', '.join(changed)}); "
                    "repeat its options to resume, or start anew with --overwrite"
                )

    def _projected(self) -> bool:
        return any(stage.endswith(_ON_THE_PROJECTION) for stage in (*self.finished, self.stage))

    def save(self, stage: str, state: Any) -> None:
        """Keep the state of the stage under way."""
        self.stage, self.state = stage, state
        self._write()

    def finish(self, stage: str, result: Any) -> None:
        """Keep the result of a stage for good."""
        self.finished[stage], self.stage, self.state = result, "", None
        self._write()

    def remove(self) -> None:
        """The run is complete."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        saved = {
            "format": FORMAT,
            "request": self.request,
            "finished": self.finished,
            "stage": self.stage,
            "state": self.state,
            "history": self.history,
            "seconds": self.spent_s,
        }
        with replacing(self.path) as temporary:
            try:
                torch.save(saved, temporary)
            except RuntimeError as error:  # torch's writer reports a full disk this way
                raise OSError(28, "the checkpoint could not be written, is the disk full?") from error
