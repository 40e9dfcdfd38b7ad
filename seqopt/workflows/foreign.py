"""The same reconstruction for other programs: a BART script with its data, and the configuration of a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqopt.mrd.recon_config import ReconConfig
from seqopt.mrd.series import Block
from seqopt.workflows.bart_script import BartFolder, why_not
from seqopt.workflows.reconstruct_images import Looked
from seqopt.workflows.server_config import no_chain, server_json
from seqopt.workflows.store import write_text

FOREIGN = ("bart", "server")


@dataclass
class Foreign:
    """Keeps what others need while slices are made; ``wanted`` are some of `FOREIGN`."""

    out: Path
    wanted: Sequence[str]
    scratch: Callable[[], Path]
    """Makes a folder beside ``out``'s files for those that are not all there yet; whoever made it removes it."""
    matrix: tuple[int, int] = (0, 0)
    _bart: BartFolder | None = field(default=None, init=False)

    def keep(self, block: Block, slices: Sequence[Looked], config: ReconConfig) -> None:
        """Write the prepared data of the block's slices where BART can reconstruct them."""
        if "bart" not in self.wanted or why_not(config.method) is not None:
            return
        key = block.key
        self._bart = self._bart or BartFolder(self.scratch())
        for number, looked in zip(block.slices, slices, strict=True):
            self.matrix = looked.data.geometry.matrix
            counters = (key.contrast, key.set, key.phase, key.repetition, number)
            self._bart.add("image_" + "_".join(map(str, counters)), looked)

    def finish(self, config: ReconConfig, *, cartesian: bool) -> tuple[list[Path], list[str]]:
        """Write what ends it: paths that were written, and one line on each that the method does not allow."""
        files, notes = [], []
        if "bart" in self.wanted:
            reason = why_not(config.method)
            if reason is not None:
                notes.append(reason)
            elif self._bart is not None:
                files.append(self._bart.finish(self.out / "bart", config, self.matrix, cartesian=cartesian))
                if config.field_map:
                    notes.append("the BART script leaves out the field map: `pics` has no place for it")
        if "server" in self.wanted:
            reason = no_chain(config.method, cartesian=cartesian)
            if reason is not None:
                notes.append(reason)
            else:
                files.append(self.out / "server.json")
                write_text(files[-1], server_json(config))
        return files, notes
