"""Readouts of an acquired file: which are noise, which encode the image, and which are averages of one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError
from seqopt.mrd.files import RawFile
from seqopt.mrd.heads import NOT_IMAGING, VOLUME_COUNTERS

Key = tuple[int, int]


class NoSignalError(SeqoptError):
    """All samples are zero: of a file a header without data, of some slices those that were never acquired."""

    def __init__(self, text: str, slices: Sequence[int] = ()) -> None:
        """``slices`` are the numbers of those that hold zeros, where others hold more."""
        super().__init__(text)
        self.slices = tuple(slices)


class UnreadableError(SeqoptError):
    """What was read of a block is no data, whatever the method."""


@contextmanager
def reading() -> Iterator[None]:
    """Within, every refusal but that of zeros becomes an `UnreadableError`."""
    try:
        yield
    except NoSignalError:
        raise
    except SeqoptError as error:
        raise UnreadableError(str(error)) from error


def noise_readouts(raw: RawFile) -> list[ismrmrd.Acquisition]:
    """Readouts of noise alone."""
    return [item for item in raw.acquisitions if item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]


def is_imaging(item: ismrmrd.Acquisition) -> bool:
    """Whether a readout encodes the image, be it calibration as well."""
    if item.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING):
        return True
    return not any(item.isFlagSet(flag) for flag in NOT_IMAGING)


def imaging_readouts(raw: RawFile, path: Path, notes: list[str]) -> list[ismrmrd.Acquisition]:
    """Readouts of the first repetition, contrast, phase and set that encode the image; refuses 3-D and none."""
    kept: list[ismrmrd.Acquisition] = []
    skipped = 0
    for item in raw.acquisitions:
        if item.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            continue
        if item.encoding_space_ref != raw.space or not is_imaging(item):
            skipped += 1
        else:
            kept.append(item)
    if skipped:
        notes.append(f"left out {skipped} readouts that are no imaging data (calibration, navigators, dummies)")
    if not kept:
        raise SeqoptError(f"{path} holds no imaging readouts, only noise or calibration; give the acquired data")
    if any(item.idx.kspace_encode_step_2 for item in kept):
        raise SeqoptError(f"{path} is encoded in 3-D (kspace_encode_step_2 is used); seqopt reconstructs 2-D slices")
    for counter in VOLUME_COUNTERS:  # of which one stack of slices takes the first value
        values = sorted({getattr(item.idx, counter) for item in kept})
        if len(values) > 1:
            kept = [item for item in kept if getattr(item.idx, counter) == values[0]]
            notes.append(f"took {counter} {values[0]} of {len(values)}; the others were left out")
    return kept


def sorted_readouts(
    path: Path, imaging: Sequence[ismrmrd.Acquisition], notes: list[str], *, word: str = "shot"
) -> dict[Key, list[ismrmrd.Acquisition]]:
    """(slice, shot or line) -> its averages; ``word`` says to people which."""
    groups: dict[Key, list[ismrmrd.Acquisition]] = defaultdict(list)
    for item in imaging:
        groups[item.idx.slice, item.idx.kspace_encode_step_1].append(item)
    for (slice_, shot), items in groups.items():
        averages = {(item.idx.average, item.idx.segment) for item in items}
        if len(averages) < len(items):
            raise SeqoptError(
                f"{path}: slice {slice_} {word} {shot} was recorded {len(items)} times but numbers {len(averages)} "
                "averages; its counters are not set, give data of one repetition"
            )
    most = max(len(items) for items in groups.values())
    if most > 1:
        several = any(len({item.idx.segment for item in items}) > 1 for items in groups.values())
        kinds = "averages and segments (idx.segment)" if several else "averages"
        notes.append(f"averaged up to {most} {kinds} of each readout")
    return dict(groups)


def common_size(path: Path, items: Sequence[ismrmrd.Acquisition]) -> tuple[int, int]:
    """Channels and samples that all readouts have, discards cut off; refuses readouts that differ or are empty."""
    shapes = {kept(item).shape for item in items}
    if len(shapes) > 1:
        sizes = " and ".join(f"{channels} x {samples}" for channels, samples in sorted(shapes)[:3])
        raise SeqoptError(f"{path}: readouts differ in size (channels x samples: {sizes}); give data of one protocol")
    channels, length = next(iter(shapes))
    if length == 0:
        raise SeqoptError(f"{path}: readouts hold no samples; give the acquired data, not a header alone")
    return channels, length


def check_values(path: Path, joined: npt.NDArray[Any]) -> None:
    """Refuse samples with NaN or infinity, and a header whose samples are all zero."""
    if not np.isfinite(joined).all():
        raise SeqoptError(f"{path}: the acquired samples hold NaN or infinity; the file is damaged, export it again")
    if not joined.any():
        raise NoSignalError(f"{path}: all samples are zero; it is a header without data, give the acquired file")


def kept(item: ismrmrd.Acquisition) -> npt.NDArray[np.complex64]:
    """(channels, samples) without the samples that the readout asks to discard."""
    data: npt.NDArray[np.complex64] = item.data[:, item.discard_pre : item.number_of_samples - item.discard_post]
    return data


def noise_samples(noise: list[ismrmrd.Acquisition], coils: int, path: Path) -> npt.NDArray[np.complex64] | None:
    """(coils, n) of all noise readouts, one after the other; None without any."""
    if not noise:
        return None
    if any(item.active_channels != coils for item in noise):
        raise SeqoptError(f"{path}: noise readouts have another number of channels than the data ({coils})")
    joined = np.concatenate([kept(item) for item in noise], 1)
    if not np.isfinite(joined).all():
        raise SeqoptError(f"{path}: the noise readouts hold NaN or infinity; the file is damaged, export it again")
    return joined.astype(np.complex64)


def noise_dwell_s(raw: RawFile, noise: Sequence[ismrmrd.Acquisition]) -> float | None:
    """1 / the bandwidth of white noise as strong as that of the noise readouts; None where the file does not say.

    The receiver's filter rolls off within the sampled band; the header's relativeReceiverNoiseBandwidth says how much
    of it remains (Kellman & McVeigh, MRM 54:1439, 2005).
    """
    if not noise or not noise[0].sample_time_us > 0:
        return None
    share = getattr(raw.header.acquisitionSystemInformation, "relativeReceiverNoiseBandwidth", None)
    return 1e-6 * float(noise[0].sample_time_us) / (float(share) if share and 0 < share <= 1 else 1.0)
