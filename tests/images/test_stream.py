"""Images that stay on disk are the images that memory would hold; batches come ahead of time and in order."""

from __future__ import annotations

import threading
import time
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqopt.errors import SeqoptError
from seqopt.images import ImageSet, evaluation_images, load_images, noise_sigma, sources, training_batches
from seqopt.images import hdf5 as hdf5_module
from seqopt.images.stream import Ahead, StreamedImages, sample_of

MATRIX, FOV_M, FILES, SLICES, COILS = 32, 0.22, 6, 7, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Multi-coil k-space in six files as fastMRI lays it out, of different scales; one slice each is all but empty."""
    out = tmp_path_factory.mktemp("fastmri")
    for number in range(FILES):
        rng = np.random.default_rng(number)
        coarse = rng.standard_normal((2, SLICES, COILS, 48, 40)) / (1 + np.hypot(*np.mgrid[-24:24, -20:20])) ** 2
        kspace = (coarse[0] + 1j * coarse[1]) * 10.0**number
        kspace[number % SLICES] *= 1e-6
        with h5py.File(out / f"volume{number}.h5", "w") as file:
            file["kspace"] = kspace.astype(np.complex64)
    return out


def load(path: Path, **options: object) -> ImageSet:
    return load_images(path, matrix=MATRIX, fov_m=FOV_M, **options)  # type: ignore[arg-type]


def batches(images: ImageSet, steps: int = 6) -> list[np.ndarray]:
    return [next(training_batches(images, 4, np.random.default_rng([1, step]))) for step in range(steps)]


def same(streamed: ImageSet, loaded: ImageSet) -> None:
    assert isinstance(streamed.images, StreamedImages)
    assert isinstance(loaded.images, np.ndarray)
    assert streamed.images.shape == loaded.images.shape
    assert streamed.images.dtype == loaded.images.dtype
    assert {name: list(one) for name, one in streamed.splits.items()} == {
        name: list(one) for name, one in loaded.splits.items()
    }
    assert np.array_equal(streamed.images[:], loaded.images)


@pytest.mark.parametrize("limit", [None, 18, 5])
def test_streamed_images_and_splits_are_those_in_memory(folder: Path, limit: int | None) -> None:
    same(load(folder, limit=limit, memory_limit_bytes=0), load(folder, limit=limit))


def test_empty_slices_are_left_out_of_a_stream_too(folder: Path) -> None:
    assert len(load(folder, memory_limit_bytes=0).images) == FILES * (SLICES - 1)


def test_streamed_batches_are_those_in_memory(folder: Path) -> None:
    for streamed, loaded in zip(batches(load(folder, memory_limit_bytes=0)), batches(load(folder)), strict=True):
        assert np.array_equal(streamed, loaded)


def test_held_out_images_are_those_in_memory(folder: Path) -> None:
    streamed, loaded = (
        evaluation_images(load(folder, memory_limit_bytes=limit), "test", seed=3, limit=4) for limit in (0, 2**30)
    )
    assert np.array_equal(streamed, loaded)


def test_other_files_stream_as_well(tmp_path: Path) -> None:
    """Reconstructions (some with negative values), complex single-coil k-space and arrays, in one folder."""
    rng = np.random.default_rng(0)
    for number in range(3):
        with h5py.File(tmp_path / f"image{number}.h5", "w") as file:
            images = rng.uniform(0, 1, (6, 40, 40)).astype(np.float32)
            images[0, :5, :5] = -0.5 if number == 1 else 0.0
            file["reconstruction_rss"] = images
        np.save(tmp_path / f"array{number}.npy", rng.uniform(0, 1, (6, 24, 24)).astype(np.float32))
    same(load(tmp_path, memory_limit_bytes=0), load(tmp_path))
    with h5py.File(tmp_path / "single.h5", "w") as file:
        file["kspace"] = (rng.standard_normal((6, 32, 32)) + 1j * rng.standard_normal((6, 32, 32))).astype(np.complex64)
    streamed = load(tmp_path, memory_limit_bytes=0)
    assert np.iscomplexobj(streamed.images)
    same(streamed, load(tmp_path))


def test_what_fits_is_loaded_and_what_does_not_is_streamed(folder: Path) -> None:
    size = FILES * SLICES * MATRIX**2 * 4
    assert isinstance(load(folder, memory_limit_bytes=size).images, np.ndarray)
    assert isinstance(load(folder, memory_limit_bytes=size - 1).images, StreamedImages)


def test_the_stream_reads_only_the_slices_that_are_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = load(folder, memory_limit_bytes=3 * MATRIX**2 * 4)
    read: list[list[int]] = []
    original = hdf5_module.read_hdf5_slices

    def counted(path: Path, grid: object, numbers: list[int], nonnegative: bool) -> np.ndarray:
        read.append(list(numbers))
        return original(path, grid, numbers, nonnegative)  # type: ignore[arg-type]

    monkeypatch.setattr(sources, "read_hdf5_slices", counted)
    _ = images.images[[0, 9, 0]]
    assert [len(numbers) for numbers in read] == [1, 1]  # the second look at the first image is at memory
    _ = images.images[[20, 21, 22, 0]]
    assert len(read) == 6  # three newer ones have pushed it out


def test_memory_stays_flat_however_many_images_are_read(folder: Path) -> None:
    size = 128**2 * 4
    images = load_images(folder, matrix=128, fov_m=FOV_M, memory_limit_bytes=4 * size)
    _ = images.images[0]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for index in range(len(images.images)):
        _ = images.images[index]
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 6 * size  # of 36 images, four are kept and the last is in hand


def test_a_streamed_image_can_be_changed_without_changing_the_next_look(folder: Path) -> None:
    images = load(folder, memory_limit_bytes=2 * MATRIX**2 * 4).images
    first = images[3]
    first[:] = 7.0
    assert float(np.abs(images[3] - 7.0).min()) > 0.1


def test_a_stream_does_not_become_one_array(folder: Path) -> None:
    with pytest.raises(SeqoptError, match="asked for all at once"):
        np.abs(load(folder, memory_limit_bytes=0).images)


def test_a_sample_gives_the_noise_level_of_all(folder: Path) -> None:
    streamed, loaded = load(folder, memory_limit_bytes=0).images, load(folder).images
    assert sample_of(loaded) is loaded
    assert len(sample_of(streamed, 12)) == 12
    assert noise_sigma(50.0, sample_of(streamed)) == noise_sigma(50.0, loaded)  # few enough: all are the sample
    assert noise_sigma(50.0, sample_of(streamed, 12)) == pytest.approx(noise_sigma(50.0, loaded), rel=0.1)


def test_the_second_look_at_a_folder_reads_no_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(folder, memory_limit_bytes=0, index_folder=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(sources, "_read", lambda *_: pytest.fail("an image was read"))
        second = load(folder, memory_limit_bytes=0, index_folder=tmp_path)
    assert np.array_equal(second.images[:], first.images[:])
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


def test_a_changed_file_is_looked_at_again_and_a_damaged_index_is_made_anew(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    load(copy, memory_limit_bytes=0, index_folder=tmp_path / "index")
    with h5py.File(copy / "volume2.h5", "r+") as file:
        file["kspace"][...] = file["kspace"][()] * np.arange(1, SLICES + 1)[:, None, None, None]
    same(load(copy, memory_limit_bytes=0, index_folder=tmp_path / "index"), load(copy))
    (store,) = (tmp_path / "index").iterdir()
    store.write_text('{"format": "seqopt-image-index-1", "files": [')
    same(load(copy, memory_limit_bytes=0, index_folder=tmp_path / "index"), load(copy))


def test_a_damaged_file_in_a_stream_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes((folder / "volume0.h5").read_bytes()[:2000])
    with pytest.raises(SeqoptError, match=r"a\.h5 cannot be read") as caught:
        load(tmp_path, memory_limit_bytes=-1)
    assert "\n" not in str(caught.value)


def test_batches_made_ahead_are_the_same_in_the_same_order(folder: Path) -> None:
    images = load(folder, memory_limit_bytes=0)

    def make(step: int) -> np.ndarray:
        time.sleep(0.01 * (step % 3))  # later ones are ready sooner
        return next(training_batches(images, 4, np.random.default_rng([1, step])))

    with Ahead(make, steps=6, ahead=3, threads=3) as ahead:
        for step, wanted in enumerate(batches(images)):
            assert np.array_equal(ahead(step), wanted)


def test_a_run_that_goes_on_in_the_middle_gets_the_batches_from_there() -> None:
    with Ahead(lambda step: step, steps=20, ahead=2) as ahead:
        assert [ahead(step) for step in (7, 8, 3, 4, 19, 25)] == [7, 8, 3, 4, 19, 25]


def test_nothing_is_made_for_steps_that_will_not_come() -> None:
    made = []
    with Ahead(lambda step: made.append(step), steps=3, ahead=5) as ahead:
        for step in range(3):
            ahead(step)
    assert sorted(made) == [0, 1, 2]


def test_the_training_hardly_waits_for_a_slow_disk() -> None:
    def make(step: int) -> int:
        time.sleep(0.03)
        return step

    waited = 0.0
    with Ahead(make, steps=15, ahead=2, threads=1) as ahead:
        ahead(0)
        started = time.perf_counter()
        for step in range(1, 15):
            time.sleep(0.06)  # the step
            asked = time.perf_counter()
            ahead(step)
            waited += time.perf_counter() - asked
        whole = time.perf_counter() - started
    assert waited < 0.1 * whole


def test_an_error_comes_where_its_batch_is_asked_for_and_closing_ends_the_threads() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise SeqoptError("the file of step 2 is gone")
        return step

    ahead = Ahead(make, steps=9, ahead=4)
    assert [ahead(0), ahead(1)] == [0, 1]
    with pytest.raises(SeqoptError, match="step 2"):
        ahead(2)
    ahead.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("seqopt-images")]
