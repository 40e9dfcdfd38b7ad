"""The design of a mask from images to files: what is written is what was chosen, and the scores are honest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pypulseq
import pytest
import torch
from designs import paper_scanner, radial_design

from seqopt.core import CartesianProtocol, Geometry, MaskDesign, Protocol
from seqopt.errors import SeqoptError
from seqopt.images.coils import simulated_coil_maps
from seqopt.images.labelled_brain import labelled_brain
from seqopt.learn.losses import psnr
from seqopt.learn.tasks import Segmentation
from seqopt.mrd.recon_config import read_recon_config
from seqopt.pulseq.cartesian import plan_mask
from seqopt.recon.cartesian import cartesian_reconstructions
from seqopt.workflows import mask_design
from seqopt.workflows.mask_design import design_mask
from seqopt.workflows.mask_images import load_mask_images
from seqopt.workflows.mask_judging import BASELINES, FULL, IGS, UNREFINED, Candidate, taught_masks
from seqopt.workflows.mask_outcome import MaskOutcome, mask_rows
from seqopt.workflows.mask_recipe import MaskRecipe
from seqopt.workflows.mask_request import MaskRequest, usual_calibration
from seqopt.workflows.run import InterruptedRunError
from seqopt.workflows.store import (
    load_design,
    load_mask_design,
    load_network,
    load_trajectory_design,
    save_design,
)

TINY = MaskRecipe(
    task_steps=3,
    tune_steps=2,
    selection_images=4,
    validation_images=3,
    test_images=4,
    draws=2,
    channels=4,
    iterations=3,
)


def request(out: Path, **changes: object) -> MaskRequest:
    standard = MaskRequest(
        out=out,
        geometry=Geometry(fov_m=(0.22, 0.22), matrix=(32, 32), slices=2),
        scanner=paper_scanner(),
        protocol=Protocol(dummy_shots=1),
        recipe=TINY,
        shots=8,
        calibration=2,
        task="segmentation",
        coils=2,
    )
    return dataclasses.replace(standard, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def designed(tmp_path_factory: pytest.TempPathFactory) -> tuple[MaskRequest, MaskOutcome]:
    asked = request(tmp_path_factory.mktemp("mask") / "out")
    outcome, certificate = design_mask(asked)
    assert certificate.holds
    return asked, outcome


def scores_of(asked: MaskRequest) -> dict[str, dict]:
    return json.loads((asked.out / "scores.json").read_text())


def test_all_files_are_there_and_nothing_else(designed: tuple[MaskRequest, MaskOutcome]) -> None:
    asked, outcome = designed
    assert {path.name for path in asked.out.iterdir()} == set(outcome.files)
    assert {"design.h5", f"{asked.name}.mrd", "recon.toml", "report.html"} <= set(outcome.files)
    assert {f"{asked.name}_v{version}.seq" for version in ("1.5.0", "1.4.1")} <= set(outcome.files)


def test_the_stored_mask_is_the_chosen_one_and_comes_back_whole(designed: tuple[MaskRequest, MaskOutcome]) -> None:
    asked, outcome = designed
    stored = load_mask_design(asked.out)
    for field in dataclasses.fields(MaskDesign):
        if field.name == "order":
            np.testing.assert_array_equal(stored.order, outcome.design.order)
        elif field.name != "provenance":
            assert getattr(stored, field.name) == getattr(outcome.design, field.name), field.name
    assert stored.shots == stored.mask.sum() == asked.shots
    assert set(stored.calibration_lines) <= set(stored.lines)
    assert stored.provenance["choice"]["passes"] >= asked.shots - 2
    with h5py.File(asked.out / "design.h5") as file:
        assert file["ky_per_m"].attrs["unit"] == "1/m"
        np.testing.assert_allclose(file["ky_per_m"][()] * 0.22 + 16, stored.order, atol=1e-9)


def test_another_reader_plays_the_chosen_lines(designed: tuple[MaskRequest, MaskOutcome]) -> None:
    asked, _ = designed
    design = load_mask_design(asked.out)
    sequence = pypulseq.Sequence()
    sequence.read(str(asked.out / f"{asked.name}_v1.5.0.seq"))
    samples = design.oversampling * design.geometry.matrix[0]
    ky_per_fov = sequence.calculate_kspace()[0][1].reshape(-1, samples)[1:] * 0.22  # the first readout is noise
    played = np.round(ky_per_fov.mean(1)).astype(int) + 16
    assert np.abs(ky_per_fov - (played - 16)[:, None]).max() < 0.01
    np.testing.assert_array_equal(played.reshape(-1, design.geometry.slices)[:, 0], design.order[: design.shots])


def test_every_mask_has_the_same_lines_and_calibration(designed: tuple[MaskRequest, MaskOutcome]) -> None:
    asked, outcome = designed
    for one in outcome.judged:
        if one.label != FULL:
            assert one.mask.sum() == asked.shots
            assert one.mask[15:17].all()
    assert {one.label for one in outcome.judged} >= {IGS, FULL, *BASELINES}
    drawn = outcome.of("variable density")
    assert len(drawn) == TINY.draws
    assert not np.array_equal(drawn[0].mask, drawn[1].mask)


def test_a_score_follows_from_the_stored_mask_and_network(designed: tuple[MaskRequest, MaskOutcome]) -> None:
    """NMSE and Dice anew in double precision by numpy's FFT, without noise and without the code that judged."""
    asked, _ = designed
    asked = dataclasses.replace(asked, snr=float("inf"), swaps=False, out=asked.out.with_name("clean"))
    clean, _ = design_mask(asked)
    design, told = load_mask_design(asked.out), scores_of(asked)["scores"]["fine-tuned"][IGS]
    test = load_mask_images(asked).parts["test"]
    maps = simulated_coil_maps(2, asked.geometry).astype(complex)
    k = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(test.images.numpy()[:, None] * maps, axes=(-2, -1))), axes=(-2, -1)
    )
    coils = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(k * design.mask[:, None], axes=(-2, -1))), axes=(-2, -1))
    images = np.sqrt((np.abs(coils) ** 2).sum(1))  # two calibration lines give no coil maps
    truth = np.abs(test.images.numpy())
    nmse = ((images - truth) ** 2).sum((1, 2)) / (truth**2).sum((1, 2))
    np.testing.assert_allclose(told["images"][0]["NMSE"], nmse, rtol=1e-3)

    network = Segmentation.of_weights(load_network(asked.out, "task-tuned"), clean.classes)
    assert test.labels is not None
    found, known = network(torch.from_numpy(images).float()).argmax(1).numpy(), test.labels.numpy()
    for number, name in enumerate(clean.classes[1:], start=1):
        both = ((found == number) & (known == number)).sum((1, 2))
        dice = 2 * both / np.maximum((found == number).sum((1, 2)) + (known == number).sum((1, 2)), 1)
        np.testing.assert_allclose(told["images"][0][f"Dice {name}"], dice, atol=0.01)


def test_test_images_are_learned_from_nowhere(tmp_path: Path) -> None:
    asked = request(tmp_path)
    labelled = labelled_brain(32, 0.22, seed=0)
    fold = labelled.splits()
    images = load_mask_images(asked)
    test = np.abs(images.parts["test"].images.numpy())
    for name in ("train", "validation"):
        others = np.abs(images.parts[name].images.numpy())
        assert min(np.abs(one - other).max() for one in test for other in others) > 0.01
        apart = np.abs(labelled.slices[getattr(fold, name)][:, None] - labelled.slices[fold.test][None, :])
        assert apart.min() >= 2
    drawn, labels = images.draw(8, np.random.default_rng(1))
    assert labels is not None
    known = labelled.labels[fold.train]
    flipped = np.concatenate([known, known[:, :, ::-1]])
    for label in labels.numpy():
        assert (flipped == label).all((1, 2)).any()
    assert drawn.is_complex()


def test_p_values_are_those_of_scipy_over_images(designed: tuple[MaskRequest, MaskOutcome]) -> None:
    from scipy.stats import wilcoxon

    asked, outcome = designed
    told = scores_of(asked)["scores"]["as trained"]
    ours = np.array(told[IGS]["images"][0]["Dice"])
    theirs = np.mean([draw["Dice"] for draw in told["fastMRI random"]["images"]], axis=0)
    assert told["fastMRI random"]["p"] == pytest.approx(wilcoxon(ours, theirs).pvalue)
    rows = {row.label: row for row in mask_rows(outcome, "as trained")}
    assert rows["fastMRI random"].gain == pytest.approx((ours - theirs).mean(), abs=1e-6)
    assert rows["fastMRI random"].means["Dice"] == pytest.approx(theirs.mean(), abs=1e-6)


def stop_after(count: int, stages: list[str]) -> tuple[Callable[..., None], Callable[[], bool]]:
    """A watch and a stop that asks to end at the ``count``-th report of the last of the stages."""
    seen: list[str] = []

    def watch(stage: str, *_: object) -> None:
        seen.append(stage)

    return watch, lambda: seen.count(stages[-1]) >= count


@pytest.mark.parametrize(("stage", "count"), [("task", 2), ("select", 3), ("swaps", 3), ("judge", 2), ("judge", 9)])
def test_an_interrupted_run_resumes_and_ends_where_the_unbroken_one_ended(
    designed: tuple[MaskRequest, MaskOutcome], tmp_path: Path, stage: str, count: int
) -> None:
    whole, _ = designed
    broken = request(tmp_path / "out")
    watch, stop = stop_after(count, [stage])
    with pytest.raises(InterruptedRunError):
        design_mask(broken, watch=watch, stop=stop)
    assert (broken.out / "checkpoint.pt").exists()
    assert not (broken.out / "design.h5").exists()
    with pytest.raises(SeqoptError, match=r"other settings \(seed\)"):
        design_mask(dataclasses.replace(broken, resume=True, seed=1))
    outcome, _ = design_mask(dataclasses.replace(broken, resume=True))
    np.testing.assert_array_equal(outcome.design.order, load_mask_design(whole.out).order)
    resumed, unbroken = scores_of(broken), scores_of(whole)
    assert resumed["scores"] == unbroken["scores"]
    sequences = [request.out / f"{whole.name}_v1.5.0.seq" for request in (broken, whole)]
    assert sequences[0].read_bytes() == sequences[1].read_bytes()
    for name in ("task", "task-tuned"):
        weights = load_network(broken.out, name)
        for key, values in load_network(whole.out, name).items():
            np.testing.assert_array_equal(weights[key], values)
    for fact in ("curve", "passes", "swaps", "validation_target"):
        assert outcome.choice.facts()[fact] == load_mask_design(whole.out).provenance["choice"][fact]
    assert dict(outcome.history) == dict(designed[1].history)
    assert not (broken.out / "checkpoint.pt").exists()


@pytest.mark.parametrize("calibration", [6, 2])
def test_what_recon_finds_gives_the_images_that_were_scored(tmp_path: Path, calibration: int) -> None:
    """With coil maps where the calibration lines can give them, without where not; iterations as recon.toml says."""
    with_maps = calibration == 6
    asked = request(
        tmp_path / "out",
        task="reconstruction",
        target={},
        network="unet",
        inner="cg-sense" if with_maps else "zero-filled",
        calibration=calibration,
        swaps=False,
        snr=float("inf"),
    )
    outcome, _ = design_mask(asked)
    assert outcome.judges == ["zero-filled", *(["cg-sense"] if with_maps else []), "U-Net", "U-Net fine-tuned"]
    config = read_recon_config(asked.out / "recon.toml")
    assert config.method == "unet"
    assert (config.iterations, config.regularisation) == (TINY.iterations, 0.01)
    design, truth = load_mask_design(asked.out), load_mask_images(asked).parts["test"].images
    maps = simulated_coil_maps(2, asked.geometry)
    k = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(truth.numpy()[:, None] * maps, axes=(-2, -1)), norm="ortho"), (-2, -1)
    )
    judges = {
        "zero-filled": "zero-filled",
        "unet": "U-Net fine-tuned",
        **({"cg-sense": "cg-sense"} if with_maps else {}),
    }
    for method, judge in judges.items():
        image = cartesian_reconstructions[method](
            torch.from_numpy(k.astype(np.complex64)),
            torch.from_numpy(design.mask),
            torch.from_numpy(maps) if with_maps else None,
            network_weights=load_network(asked.out, "unet"),
            iterations=config.iterations,
            regularisation=config.regularisation,
        )
        told = scores_of(asked)["scores"][judge][IGS]["images"][0]["PSNR"]
        np.testing.assert_allclose(psnr(image.abs(), truth.abs()).numpy(), told, rtol=1e-4)


def test_cg_sense_inside_the_choice_wants_lines_for_its_maps(tmp_path: Path) -> None:
    with pytest.raises(SeqoptError, match="no coil maps; raise --calibration"):
        request(tmp_path / "out", inner="cg-sense", calibration=2)


def test_a_network_for_all_masks_sees_each_kind_as_often() -> None:
    masks = [
        Candidate(label=label, draw=draw, mask=np.array([number]))
        for number, (label, draw) in enumerate(
            [(FULL, 0), (UNREFINED, 0), (IGS, 0), ("Center", 0), ("random", 0), ("random", 1)]
        )
    ]
    assert [int(mask[0]) for mask in taught_masks(masks)] == [2, 3, 4, 2, 3, 5]


def test_classification_by_a_turbo_spin_echo(tmp_path: Path) -> None:
    asked = request(
        tmp_path / "out",
        task="classification",
        network=None,
        target={"soft-hinge": 1.0},
        coils=1,
        calibration=0,
        play=CartesianProtocol(sequence="tse", echo_train=4),
        per_step=3,
    )
    outcome, certificate = design_mask(asked)
    assert certificate.holds
    assert outcome.headline == "F1"
    assert set(mask_rows(outcome, "fine-tuned")[0].means) >= {"F1", "accuracy"}
    assert 'method = "zero-filled"' in (asked.out / "recon.toml").read_text()
    assert outcome.choice.curve[0][0] == 1


def test_a_mask_is_no_trajectory_and_the_other_way_round(
    designed: tuple[MaskRequest, MaskOutcome], tmp_path: Path
) -> None:
    asked, _ = designed
    with pytest.raises(SeqoptError, match="expected a trajectory"):
        load_trajectory_design(asked.out)
    save_design(tmp_path / "design.h5", radial_design(shots=3, samples=64, slices=2))
    with pytest.raises(SeqoptError, match="expected a mask"):
        load_mask_design(tmp_path)
    assert load_design(tmp_path).name == "radial-3"


def test_a_damaged_mask_design_is_refused(designed: tuple[MaskRequest, MaskOutcome], tmp_path: Path) -> None:
    asked, _ = designed
    whole = (asked.out / "design.h5").read_bytes()
    (tmp_path / "design.h5").write_bytes(whole)
    with h5py.File(tmp_path / "design.h5", "a") as file:
        del file["order"]
    with pytest.raises(SeqoptError, match="truncated or damaged"):
        load_design(tmp_path)


def test_an_impossible_echo_time_is_refused_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_design.MaskRun, "begin", lambda *_: pytest.fail("images were read"))
    with pytest.raises(SeqoptError, match=r"echo time: got 1 ms"):
        design_mask(request(tmp_path, protocol=Protocol(te_s=1e-3)))


def test_a_rejected_timing_of_the_chosen_lines_never_surprises(designed: tuple[MaskRequest, MaskOutcome]) -> None:
    asked, outcome = designed
    assert outcome.timing is not None
    assert plan_mask(asked.slowest()).min_te_s >= outcome.timing.min_te_s
    assert plan_mask(asked.slowest()).min_tr_s >= outcome.timing.min_tr_s


@pytest.mark.parametrize(
    ("shots", "coils", "lines"), [(16, 1, 1), (16, 8, 8), (64, 8, 16), (12, 8, 6), (6, 8, 6), (5, 8, 1)]
)
def test_calibration_is_what_coil_maps_need(shots: int, coils: int, lines: int) -> None:
    assert usual_calibration(shots, coils) == lines


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"shots": 33, "calibration": 2}, "shots of the mask"),
        ({"calibration": 9}, "calibration lines: got 9"),
        ({"task": "diagnosis"}, "known: reconstruction, segmentation, classification"),
        ({"target": {"beauty": 1.0}}, "known: "),
        ({"target": {"soft-hinge": 1.0}}, "needs the task classification"),
        ({"network": "residual-classifier"}, "known for it: unet, attention-unet"),
        ({"network": "transformer"}, "known: unet"),
        ({"order_lines": 4}, "nested order"),
        ({"order_lines": 40}, "nested order"),
        ({"per_step": 0}, "lines a step"),
        ({"per_step": 3, "candidates": 2}, "candidates: got 2, expected 3 or more"),
        ({"inner": "magic"}, "known: zero-filled"),
        ({"contrast": "T2"}, "labelled folder"),
        ({"snr": 0.0}, "SNR"),
        ({"coils": 0}, "coils"),
    ],
)
def test_what_cannot_be_is_refused_at_once(changes: dict[str, object], saying: str, tmp_path: Path) -> None:
    with pytest.raises(SeqoptError, match=saying) as caught:
        request(tmp_path, **changes)
    assert "\n" not in str(caught.value)
