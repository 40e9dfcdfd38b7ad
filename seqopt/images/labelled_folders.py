"""Folders of image and label volumes: the layouts in which data sets for segmentation are published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqopt.errors import SeqoptError, reject
from seqopt.images.files import checked, nifti_slices
from seqopt.images.image_set import IndexArray, evenly
from seqopt.images.labelled import LabelledSet
from seqopt.images.labelled_volumes import LabelledVolume, labelled_set
from seqopt.images.resample import Grid
from seqopt.registry import Registry

AnyArray = npt.NDArray[Any]
ENDINGS = (".nii.gz", ".nii", ".mgz")
BACKGROUND = "background"


@dataclass(frozen=True)
class Pair:
    """The image and the label file of one volume."""

    subject: str
    image: Path
    labels: Path


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a layout found in a folder."""

    pairs: Sequence[Pair]
    classes: Mapping[int, str] = field(default_factory=dict)
    """Label value -> class; several values may be one class. Empty: every value is its own."""
    channel: int | None = None
    """Which contrast of files that hold several."""
    rest: bool = False
    """Whether values without a class are background, and not an error."""
    flips: tuple[int, ...] = ()
    centred: bool = False
    """Whether the volumes lie anywhere in their arrays."""
    contrasts: bool = False
    """Whether the layout knows contrasts by name."""


Layout = Callable[[Path, str | None], Found | None]
"""(folder, name of a contrast) -> what is there; None where the folder is laid out otherwise."""
layouts: Registry[Layout] = Registry("layout of a labelled folder")


def load_labelled(
    folder: Path,
    *,
    matrix: int,
    fov_m: float,
    layout: str | None = None,
    contrast: str | None = None,
    subjects: int | None = None,
    empty: bool = False,
) -> LabelledSet:
    """Load a folder of image and label volumes as slices on a square grid of ``matrix`` pixels over ``fov_m`` metres.

    The layout is recognised, or named; ``contrast`` picks one where there are several; at most so many ``subjects``
    are taken, evenly; slices without a labelled structure only with ``empty``. Raises `SeqoptError` for what is
    missing, damaged, or does not match.
    """
    found = _find(folder, layout, contrast)
    names = sorted({pair.subject for pair in found.pairs})
    chosen = {names[index] for index in evenly(np.arange(len(names)), subjects)}
    pairs = [pair for pair in found.pairs if pair.subject in chosen]
    values = found.classes or _own_classes(pairs)
    classes = (BACKGROUND, *dict.fromkeys(values.values()))
    numbers = {0: 0} | {value: classes.index(name) for value, name in values.items()}
    volumes = [_read(pair, found, numbers).across_thick_slices() for pair in pairs]
    source = f"{folder.name}: {len(chosen)} subject{'s' if len(chosen) > 1 else ''}"
    grid = Grid(matrix=matrix, fov_m=fov_m)
    return labelled_set(volumes, classes, grid, source=source, flips=found.flips, empty=empty, centred=found.centred)


def holds_labels(folder: Path) -> bool:
    """Whether a folder holds pairs of images and labels in one of the layouts."""
    return folder.is_dir() and any((found := layouts[name](folder, None)) and found.pairs for name in layouts)


def _find(folder: Path, layout: str | None, contrast: str | None) -> Found:
    if not folder.is_dir():
        raise SeqoptError(f"no folder {folder}; give one with image and label volumes")
    for name in layouts if layout is None else [layout]:
        found = layouts[name](folder, contrast)
        if found is not None and found.pairs:
            if contrast is not None and not found.contrasts:
                raise reject("contrast", got=contrast, expected=f"none in the layout {name}", remedy="leave it out")
            return found
    wanted = f"the layout {layout}" if layout else f"one of the layouts {', '.join(layouts)}"
    raise SeqoptError(f"{folder} holds no pairs of images and labels, expected {wanted}; pair them by file name")


@layouts.register("nnunet")
def _nnunet(folder: Path, contrast: str | None) -> Found | None:
    """``imagesTr/<case>_0000.nii.gz``, one file a channel, ``labelsTr/<case>.nii.gz`` and ``dataset.json``.

    The channels are named by "channel_names", in version 1 by "modality". Frames of one patient are one subject's.
    """
    whole = _same_names(folder / "imagesTr", folder / "labelsTr") if (folder / "labelsTr").is_dir() else []
    if not any(_channel_file(pair.image, 0).exists() and not pair.image.exists() for pair in whole):
        return None
    about = folder / "dataset.json"
    channel = _channel_of(contrast, _numbered(about, "channel_names") or _numbered(about, "modality"))
    pairs = [
        Pair(re.sub(r"_frame\d+$", "", pair.subject), _channel_file(pair.image, channel), pair.labels) for pair in whole
    ]
    classes = {value: name for value, name in _numbered(about, "labels").items() if value}
    return Found(pairs=pairs, classes=classes, flips=(-1,), contrasts=True)


def _channel_file(image: Path, channel: int) -> Path:
    stem, dot, ending = image.name.partition(".")
    return image.with_name(f"{stem}_{channel:04}{dot}{ending}")


def _channel_of(contrast: str | None, names: Mapping[int, str]) -> int:
    """The number of a named channel, whatever the case of its letters; the first by default."""
    if contrast is None:
        return 0
    numbers = {name.lower(): number for number, name in names.items()}
    if contrast.lower() not in numbers:
        raise reject("contrast", got=contrast, expected=" or ".join(numbers) or "none", remedy="choose one")
    return numbers[contrast.lower()]


@layouts.register("decathlon")
def _decathlon(folder: Path, contrast: str | None) -> Found | None:
    """``imagesTr/`` and ``labelsTr/`` with the same names, described by ``dataset.json``."""
    if not (folder / "imagesTr").is_dir() or not (folder / "labelsTr").is_dir():
        return None
    classes = {value: name for value, name in _numbered(folder / "dataset.json", "labels").items() if value}
    channel = _channel_of(contrast, _numbered(folder / "dataset.json", "modality"))
    pairs = _same_names(folder / "imagesTr", folder / "labelsTr")
    return Found(pairs=pairs, classes=classes, channel=channel, flips=(-1,), contrasts=True)


@layouts.register("acdc")
def _acdc(folder: Path, contrast: str | None) -> Found | None:
    """``patientXXX/patientXXX_frameYY.nii.gz`` with ``_gt`` for the labels; both frames are one subject's."""
    pairs = [
        Pair(labels.name.split("_")[0], labels.with_name(labels.name.replace("_gt.nii", ".nii")), labels)
        for labels in sorted(folder.rglob("patient*_frame*_gt.nii*"))
    ]
    return Found(pairs=pairs, classes={1: "right ventricle", 2: "myocardium", 3: "left ventricle"})


@layouts.register("brats")
def _brats(folder: Path, contrast: str | None) -> Found | None:
    """``<subject>_flair``, ``_t1``, ``_t1ce`` or ``_t2`` with ``<subject>_seg`` for the labels.

    Since 2023 ``BraTS-GLI-<subject>-<time>-t2f``, ``-t1n``, ``-t1c`` or ``-t2w`` with ``-seg``: all times of a patient
    are one subject's, and the enhancing tumour is 3; the names of before are understood.
    """
    classes = {1: "necrotic core", 2: "oedema"}
    for dash, tumour, names in (("_", 4, {name: name for name in BRATS}), ("-", 3, BRATS)):
        ending = f"{dash}seg."
        labels = [path for path in sorted(folder.rglob(f"*{ending}nii*")) if not path.name.startswith(".")]
        if not labels:
            continue
        wanted = (contrast or "flair").lower()
        wanted = names.get(wanted, wanted)
        if wanted not in names.values():
            raise reject("contrast", got=contrast, expected=" or ".join(names.values()), remedy="choose one")
        pairs = [
            Pair(
                _patient(path.name.split(ending)[0]),
                path.with_name(path.name.replace(ending, f"{dash}{wanted}.")),
                path,
            )
            for path in labels
        ]
        return Found(pairs=pairs, classes=classes | {tumour: "enhancing tumour"}, flips=(-1,), contrasts=True)
    return None


BRATS = {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w"}
"""Contrasts of BraTS as they were called before 2023, and since."""


def _patient(stem: str) -> str:
    """``BraTS-GLI-00000-000`` without its last number, which tells one time from another."""
    return re.sub(r"^(BraTS-[A-Za-z]+-\d+)-\d+$", r"\1", stem)


GREY = (3, 8, 10, 11, 12, 13, 17, 18, 26, 28, 42, 47, 49, 50, 51, 52, 53, 54, 58, 60)
WHITE = (2, 7, 16, 41, 46, 77, 85, 192, *range(251, 256))
FLUID = (4, 5, 14, 15, 24, 31, 43, 44, 63, 72, 221)


@layouts.register("freesurfer")
def _freesurfer(folder: Path, contrast: str | None) -> Found | None:
    """``<subject>/mri/norm.mgz`` beside ``aseg.mgz``, else ``*+aseg.mgz``: structures become CSF, GM and WM.

    Numbers by FreeSurferColorLUT.txt. A folder is one brain, however often it was segmented.
    """
    cortex = [*range(1000, 3000), *range(11100, 12200)]
    groups = {"CSF": FLUID, "GM": (*GREY, *cortex), "WM": WHITE}
    best: dict[Path, Path] = {}
    for labels in sorted(folder.rglob("*aseg.mgz"), key=lambda path: (path.name != "aseg.mgz", path)):
        if not labels.name.startswith("."):
            best.setdefault(labels.parent, labels)
    pairs = [Pair(_owner(place, folder), place / "norm.mgz", labels) for place, labels in sorted(best.items())]
    classes = {value: name for name, values in groups.items() for value in values}
    return Found(pairs=pairs, classes=classes, rest=True, flips=(-1,), centred=True)


def _owner(place: Path, folder: Path) -> str:
    """Whose the files of a place are: its path within the folder, without a last ``mri``."""
    within = place.relative_to(folder)
    return (within.parent if within.name == "mri" else within).as_posix()


@layouts.register("pairs")
def _pairs(folder: Path, contrast: str | None) -> Found | None:
    """A folder ``image*/`` and a folder ``label*/`` with the same file names."""
    images, labels = (sorted(p for p in folder.iterdir() if p.is_dir() and p.name.startswith(n)) for n in NAMED)
    return Found(pairs=_same_names(images[0], labels[0])) if len(images) == len(labels) == 1 else None


NAMED = ("image", "label")


def _same_names(images: Path, labels: Path) -> list[Pair]:
    pairs = []
    for file in sorted(labels.iterdir()):
        if file.name.endswith(ENDINGS) and not file.name.startswith("."):
            pairs.append(Pair(file.name.split(".")[0], images / file.name, file))
    return pairs


def _numbered(path: Path, key: str) -> dict[int, str]:
    """Number -> name from an entry of a JSON file that gives it so (Decathlon) or turned round (nnU-Net).

    Empty without the file or the entry. Raises `SeqoptError` for anything else.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise SeqoptError(f"{path} cannot be read as JSON; mend it or remove it") from error
    entry = about.get(key, {}) if isinstance(about, dict) else None
    if isinstance(entry, dict):
        if all(isinstance(name, str) and number.isdecimal() for number, name in entry.items()):
            found = {int(number): name for number, name in entry.items()}
        else:
            found = {number: name for name, number in entry.items() if type(number) is int and number >= 0}
        if len(found) == len(entry):
            return found
    raise SeqoptError(f'{path}: "{key}" must pair each number with one name, {{"1": "a"}} or {{"a": 1}}; mend it')


def _own_classes(pairs: Sequence[Pair]) -> dict[int, str]:
    values = sorted({int(value) for pair in pairs for value in np.unique(_labels(pair)[0]) if value})
    return {value: f"label {value}" for value in values}


def _labels(pair: Pair) -> tuple[IndexArray, tuple[float, float, float]]:
    stored, sizes_m = nifti_slices(pair.labels)
    whole = np.rint(np.nan_to_num(stored, nan=0.5))
    if not np.array_equal(whole, stored):
        raise SeqoptError(f"{pair.labels}: got values that are not whole numbers, expected labels")
    return whole.astype(np.int64), sizes_m


def _read(pair: Pair, found: Found, numbers: Mapping[int, int]) -> LabelledVolume:
    if not pair.image.exists():
        raise SeqoptError(f"{pair.labels} has no image: {pair.image} is missing; add it or remove the labels")
    images, sizes_m = nifti_slices(pair.image, channel=found.channel)
    labels, label_sizes_m = _labels(pair)
    if images.shape == labels.shape and not np.allclose(sizes_m, label_sizes_m, rtol=1e-2):
        raise SeqoptError(f"{pair.labels}: voxels of {label_sizes_m} m do not match the image's, {sizes_m} m")
    values, places = np.unique(labels, return_inverse=True)
    strange = [int(value) for value in values if int(value) not in numbers]
    if strange and not found.rest:
        raise SeqoptError(f"{pair.labels}: label {strange[0]} is none of {', '.join(map(str, sorted(numbers)))}")
    classes = np.array([numbers.get(int(value), 0) for value in values], np.int64)[places].reshape(labels.shape)
    return LabelledVolume(
        name=pair.image.name,
        subject=pair.subject,
        images=checked(images, pair.image),
        labels=classes,
        sizes_m=sizes_m,
    )
