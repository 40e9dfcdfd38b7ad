"""Acquired MRD data -> image series, NIfTI, PNG and a record of how."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqopt.core import MaskDesign
from seqopt.errors import SeqoptError
from seqopt.mrd.blocks import BlockReader, place_notes
from seqopt.mrd.calibration import calibration_rows
from seqopt.mrd.cartesian_lines import is_cartesian_file
from seqopt.mrd.files import RawFile, Reader, open_mrd
from seqopt.mrd.from_header import size_notes
from seqopt.mrd.image_head import heads_of
from seqopt.mrd.missing import announced, missing_notes, unseen_notes
from seqopt.mrd.placement import Placement
from seqopt.mrd.played_reader import PlayedReader
from seqopt.mrd.readouts import NoSignalError, UnreadableError
from seqopt.mrd.scan import content_of_trajectories
from seqopt.mrd.scan_parameters import ScanParameters
from seqopt.mrd.series import Block, Content, content_of
from seqopt.pulseq.played_scan import played_scan
from seqopt.recon.cartesian import cartesian_reconstructions
from seqopt.recon.registry import reconstructions
from seqopt.workflows.dicom import digest_of
from seqopt.workflows.foreign import Foreign
from seqopt.workflows.idle_options import idle_notes
from seqopt.workflows.image_store import ImageStore
from seqopt.workflows.quality import Quality
from seqopt.workflows.reconstruct_calibration import Calibration
from seqopt.workflows.reconstruct_cartesian import OfLines
from seqopt.workflows.reconstruct_images import BlockImages
from seqopt.workflows.reconstruct_output import (
    USUAL_FORMATS,
    ReconSummary,
    Source,
    require_formats,
    write_reconstruction,
)
from seqopt.workflows.reconstruct_quality import quality_of
from seqopt.workflows.reconstruct_settings import Settings, network_of, require_method, settle, signature_notes
from seqopt.workflows.reconstruct_trajectory import AlongTrajectory
from seqopt.workflows.store import load_design

Maker = AlongTrajectory | OfLines


def reconstruct(
    scan_path: Path,
    out: Path,
    *,
    design_path: Path | None = None,
    dataset: str | None = None,
    seq_path: Path | None = None,
    units: str | None = None,
    formats: Sequence[str] = USUAL_FORMATS,
    quality: bool = False,
    **options: Any,
) -> ReconSummary:
    """Read, prewhiten, estimate coil maps, reconstruct each slice of each series, cross-check, and write ``out``.

    Data are Cartesian lines where the design is a mask, or without design where `is_cartesian_file` says so. The
    trajectory is that of ``seq_path``, a .seq, or of the design, or the file's own, in ``units`` (`trajectory_units`)
    where they are given. ``options`` are fields of `ReconConfig` that override the design's ``recon.toml``; None leaves
    what it says. Slices are read and reconstructed a few at a time. Raises `SeqoptError` for unknown methods and for
    data that do not fit the design, the sequence or the method.
    """
    settings = settle(design_path, options, seq_path)
    require_formats(formats)
    with open_mrd(scan_path, dataset) as reader:
        stated = units
        joined, units = (reader, units) if seq_path is None else (PlayedReader(reader, played_scan(seq_path)), "per_m")
        notes = list(joined.notes)
        maker = _maker(joined, scan_path, settings, design_path, units, notes)
        notes += place_notes(maker.source.content)
        with ImageStore(out) as store:
            maker.foreign = Foreign(out, formats, store.scratch)
            first, looked_at = _fill(store, maker, quality, notes)
            notes += idle_notes(settings, maker.config, cartesian=maker.cartesian, units=stated)
            return _write(store, maker, first, looked_at, scan_path, out, formats, notes)


def _fill(store: ImageStore, maker: Maker, quality: bool, notes: list[str]) -> tuple[BlockImages, Quality | None]:
    """Reconstruct block by block into the store; the first block's outcome, with the most shots of all."""
    content = maker.source.content
    middle = content.slices[len(content.slices) // 2] if quality else None
    first, shots, looked_at = None, 0, None
    for block, one in _images(maker, middle, notes):
        heads = heads_of(one.placement, block.slices, time_stamp=block.time_stamp, **asdict(block.key))
        store.add(one.images, heads)
        if middle is not None and one.looked is not None:
            slice_ = _nearest(block, middle)
            if looked_at is None or abs(slice_ - middle) < abs(looked_at.slice - middle):
                looked_at = quality_of(content, one, one.looked, slice_, maker.design)
        first, shots = first or replace(one, looked=None), max(shots, one.shots)
    if middle is not None and looked_at is None:
        notes.append("no slice of the first series holds data to judge, so there is no page on quality")
    elif looked_at is not None and looked_at.slice != middle:
        notes.append(
            f"slice {middle} in the middle holds no data, so the page on quality is of slice {looked_at.slice}"
        )
    assert first is not None  # _images gives one or raises
    return replace(first, shots=shots), looked_at


def _nearest(block: Block, middle: int) -> int:
    return min(block.slices, key=lambda slice_: abs(slice_ - middle))


def _write(
    store: ImageStore,
    maker: Maker,
    first: BlockImages,
    quality: Quality | None,
    scan_path: Path,
    out: Path,
    formats: Sequence[str],
    notes: list[str],
) -> ReconSummary:
    content = maker.source.content
    geometry = replace(first.geometry, slices=len(content.slices))
    foreign, reasons = maker.foreign.finish(maker.config, cartesian=maker.cartesian) if maker.foreign else ([], [])
    summary = ReconSummary(
        config=maker.config,
        slices=len(content.slices),
        matrix=geometry.matrix,
        volumes=len(content.series),
        coils=first.coils,
        shots=first.shots,
        samples=first.samples,
        whitened=first.whitened,
        cross_check=first.cross_check,
        notes=tuple(dict.fromkeys([*notes, *signature_notes(first.signature, maker.config), *reasons])),
        cartesian=maker.cartesian,
    )
    source = Source(
        scan_path=scan_path,
        design_name=maker.design.name if maker.design is not None else None,
        seq_signature=first.signature,
        geometry=geometry,
        parameters=ScanParameters.of(maker.source.reader.header),
        trajectory=_trajectory(maker),
    )
    more = maker.calibration.write_field_map(out, geometry, _placement(store))
    return write_reconstruction(
        store, summary, source, first.record, out=out, formats=formats, quality=quality, others=(*more, *foreign)
    )


def _trajectory(maker: Maker) -> str | None:
    """What the command line says of the trajectory: a digest of the .seq, or units."""
    if maker.settings.seq_path is not None:
        return digest_of(maker.settings.seq_path)
    return maker.units if isinstance(maker, AlongTrajectory) else None


def _placement(store: ImageStore) -> Placement:
    """Of the slices of the first volume."""
    one = store.heads[0]
    heads = [head for head in store.heads if (*head.series, head.repetition) == (*one.series, one.repetition)]
    heads = sorted(heads, key=lambda head: head.slice)
    return Placement(
        read_dir=one.read_dir,
        phase_dir=one.phase_dir,
        slice_dir=one.slice_dir,
        positions_m=np.stack([head.position_m for head in heads]),
    )


def _maker(
    reader: Reader,
    path: Path,
    settings: Settings,
    design_path: Path | None,
    units: str | None,
    notes: list[str],
) -> Maker:
    """What reconstructs the file's blocks; refuses what the headers alone show not to fit."""
    design = load_design(design_path) if design_path is not None else None
    apart = calibration_rows(reader.heads, reader.header)
    raw = RawFile.of(reader, 0)
    notes += size_notes(raw, design) if design is not None else []
    raw = replace(raw, acquisitions=reader.acquisitions(np.flatnonzero(apart)))
    calibration = Calibration.of(raw, path, settings.config, notes)
    unplanned = ("slice", "repetition") if design is None else ("repetition",)
    if isinstance(design, MaskDesign) or (design is None and is_cartesian_file(reader, units)):
        config = settings.for_cartesian()
        require_method(config.method, cartesian_reconstructions, path, data="Cartesian lines")
        network = network_of(config, design_path)
        content = content_of(reader.heads, path, without=apart)
        wanted = (range(design.geometry.slices), design.lines.tolist()) if design is not None else (None, None)
        notes += [*content.notes, *missing_notes(content, word="line", slices=wanted[0], steps=wanted[1])]
        notes += unseen_notes(content, _limits(reader, content), counters=unplanned)
        source = BlockReader(path=path, reader=reader, content=content, acquisitions=reader.acquisitions)
        return OfLines(
            source=source, config=config, design=design, network=network, calibration=calibration, settings=settings
        )
    config = settings.for_trajectories()
    require_method(config.method, reconstructions, path, data="data along a trajectory")
    network = network_of(config, design_path)
    content = content_of_trajectories(reader, path, design, without=apart)
    wanted = (range(design.geometry.slices), range(design.shots)) if design is not None else (None, None)
    limits = _limits(reader, content)
    stated = announced(limits.kspace_encoding_step_1)
    notes += [*content.notes, *missing_notes(content, word="shot", slices=wanted[0], steps=wanted[1], stated=stated)]
    notes += unseen_notes(content, limits, counters=unplanned)
    source = BlockReader(path=path, reader=reader, content=content, acquisitions=reader.acquisitions)
    return AlongTrajectory(
        source=source,
        config=config,
        design=design,
        units=units,
        network=network,
        calibration=calibration,
        settings=settings,
    )


def _limits(reader: Reader, content: Content) -> Any:
    """The counters that the header announces, ``encodingLimitsType``."""
    return RawFile.of(reader, content.space).encoding.encodingLimits


def _images(maker: Maker, middle: int | None, notes: list[str]) -> Iterator[tuple[Block, BlockImages]]:
    """Block by block; then, where any was done, slices that the method cannot do, and black ones without any signal.

    Of the first series the slice nearest to ``middle`` is looked at closer, of each block.
    """
    source, first = maker.source, None
    empty: list[tuple[Block, NoSignalError]] = []
    poor: list[tuple[Block, SeqoptError]] = []
    first_series = source.content.series[0]
    waiting = deque(source.content.blocks())
    while waiting:
        block = waiting.popleft()
        look = _nearest(block, middle) if middle is not None and block.key == first_series else None
        try:
            one = maker.make(block, check=maker.config.cross_check and first is None, look=look)
        except NoSignalError as error:
            zeros = error.slices or block.slices
            empty.append((source.content.part(block, zeros), error))
            if len(zeros) < len(block.slices):
                waiting.appendleft(source.content.part(block, set(block.slices) - set(zeros)))
            continue
        except UnreadableError:
            raise
        except SeqoptError as error:
            poor.append((block, error))
            continue
        notes += [note for note in one.notes if note not in notes]
        first = first or replace(one, looked=None)
        yield block, one
    if first is None:
        raise (*poor, *empty)[0][1]
    for block, cannot in poor:
        yield block, _plain(maker, block, cannot, notes)
    for block, _ in empty:
        notes.append(f"slices {', '.join(map(str, block.slices))} hold zeros only; their images are black")
        black = np.zeros((len(block.slices), *first.images.shape[1:]), first.images.dtype)
        placement = source.placement(block, first.geometry, maker.design)
        yield block, replace(first, images=black, placement=placement)


def _plain(maker: Maker, block: Block, why: SeqoptError, notes: list[str]) -> BlockImages:
    """The block by the method that asks nothing of the data: an aborted scan's last slices."""
    usual, foreign = maker.config, maker.foreign
    method = "zero-filled" if maker.cartesian else "adjoint"
    maker.config, maker.foreign = replace(usual, method=method, partial_fourier="auto"), None
    try:
        one = maker.make(block)
    finally:
        maker.config, maker.foreign = usual, foreign
    slices = ", ".join(map(str, block.slices))
    where = f"slice(s) {slices} of repetition {block.key.repetition}"
    notes.append(f"{where} cannot be reconstructed by {usual.method}, but by {method}: {str(why).split('; ')[0]}")
    return one
