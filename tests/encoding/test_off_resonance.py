"""Off-resonance in the encoding against direct sums of exp(-2 pi i k r) exp(-2 pi i f t) in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import complex_normal, direct_dft_matrix, relative

from seqopt.core import Geometry
from seqopt.encoding.off_resonance import ERROR_LIMIT, field_terms, gram_terms
from seqopt.errors import SeqoptError
from seqopt.recon.problem import Field, trajectory_problem
from seqopt.recon.registry import reconstructions

GEOMETRY = Geometry(fov_m=(0.2, 0.24), matrix=(16, 20))
SHOTS, SAMPLES, COILS = 6, 80, 2
TIMES_S = (np.arange(SAMPLES) - 20) * 1e-4


def trajectory() -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (SHOTS, SAMPLES, 2)) * np.array(GEOMETRY.k_max_per_m)


def weights() -> np.ndarray:
    return np.random.default_rng(2).uniform(0.5, 1.5, (SHOTS, SAMPLES))


def field_hz(amplitude: float) -> np.ndarray:
    y, x = np.mgrid[-1:1:20j, -1:1:16j]
    return amplitude * (x + y**2 - 0.3)


def maps() -> np.ndarray:
    raw = complex_normal(COILS, *GEOMETRY.shape, seed=3).numpy()
    return raw / np.sqrt((np.abs(raw) ** 2).sum(0))


def dense(field: np.ndarray) -> np.ndarray:
    """(coils * points, pixels)."""
    phases = np.exp(-2j * np.pi * np.tile(TIMES_S, SHOTS)[:, None] * field.ravel())
    encode = direct_dft_matrix(trajectory(), GEOMETRY) * phases
    return np.concatenate([encode * one.ravel() for one in maps()])


def inputs(samples: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (
        samples.to(torch.complex64),
        torch.from_numpy(trajectory()),
        torch.from_numpy(weights()).float(),
        torch.from_numpy(maps()).to(torch.complex64),
    )


@pytest.mark.parametrize("amplitude", [0.0, 30.0, 100.0, 250.0])
def test_right_hand_side_and_gram_form_are_those_of_the_direct_sum(amplitude):
    """At 250 Hz the phase of a pixel turns up to four times during the readout."""
    field = Field(map_hz=torch.from_numpy(field_hz(amplitude)), times_s=torch.from_numpy(TIMES_S), segments=16)
    samples, image = complex_normal(1, COILS, SHOTS, SAMPLES, seed=5), complex_normal(1, *GEOMETRY.shape, seed=6)
    problem = trajectory_problem(*inputs(samples), GEOMETRY, field=field)
    encode, w = dense(field_hz(amplitude)), np.tile(weights().ravel(), COILS)
    assert relative(problem.right_hand_side.flatten(), encode.conj().T @ (w * samples.numpy().ravel())) < 1e-3
    truth = encode.conj().T @ (w * (encode @ image.numpy().ravel()))
    assert relative(problem.gram(image.to(torch.complex64)).flatten(), truth) < 2e-3


@pytest.mark.parametrize("method", ["cg-sense", "tv", "l1-wavelet"])
def test_an_object_off_resonance_is_found_again_and_is_blurred_without_the_map(method):
    y, x = np.mgrid[-1:1:20j, -1:1:16j]
    image = (np.hypot(x, y) < 0.8) * (1.0 + (x > 0.2))
    field = field_hz(120.0)
    samples = torch.from_numpy((dense(field) @ image.ravel()).reshape(1, COILS, SHOTS, SAMPLES))
    options = {"iterations": 60, "regularisation": 1e-5}
    known = {"field_map_hz": torch.from_numpy(field), "times_s": torch.from_numpy(TIMES_S), "segments": 12}
    corrected = reconstructions[method](*inputs(samples), GEOMETRY, **options, **known)[0]
    blurred = reconstructions[method](*inputs(samples), GEOMETRY, **options)[0]
    assert relative(corrected, image) < 0.02
    assert relative(blurred.abs(), image) > 0.2


def test_more_terms_are_taken_for_a_wider_field_and_the_error_is_what_is_said():
    few, many = (field_terms(field_hz(value), TIMES_S, most=20) for value in (20.0, 200.0))
    assert len(few.in_time) < len(many.in_time)
    for terms, value in ((few, 20.0), (many, 200.0)):
        made = np.einsum("ln,lyx->nyx", terms.in_time.numpy(), terms.in_space.numpy())
        exact = np.exp(-2j * np.pi * TIMES_S[:, None, None] * field_hz(value))
        assert relative(made, exact) < 2 * ERROR_LIMIT
        assert terms.error < ERROR_LIMIT


def test_one_pixel_far_off_is_not_lost_among_many():
    field = np.linspace(-2, 2, 512**2).reshape(512, 512)
    field[256, 256] = 60.0
    terms = field_terms(field, TIMES_S, most=8)
    made = terms.in_time.numpy().T @ terms.in_space.numpy()[:, 256, 256]
    assert relative(made, np.exp(-2j * np.pi * TIMES_S * 60.0)) < 0.02


def test_a_constant_field_takes_one_term():
    assert len(field_terms(np.full((4, 4), 50.0), TIMES_S, most=8).in_time) == 1
    assert len(gram_terms(np.full((4, 4), 50.0), TIMES_S, most=8).in_time) == 1


def test_too_few_segments_and_foreign_maps_are_refused():
    with pytest.raises(SeqoptError, match="2 segments leave an error"):
        field_terms(field_hz(200.0), TIMES_S, most=2)
    with pytest.raises(SeqoptError, match="NaN"):
        field_terms(field_hz(200.0) * np.nan, TIMES_S, most=2)
    other = Field(map_hz=torch.zeros(8, 9), times_s=torch.from_numpy(TIMES_S))
    with pytest.raises(SeqoptError, match="the field map has 9 x 8 pixels, the image 16 x 20"):
        trajectory_problem(*inputs(complex_normal(1, COILS, SHOTS, SAMPLES, seed=5)), GEOMETRY, field=other)
