"""The .asc file of a gradient coil: both layouts, and files that are cut, hostile or of another kind."""

from __future__ import annotations

import random

import pytest
from pypulseq.utils.siemens.asc_to_hw import asc_to_acoustic_resonances, asc_to_hw
from pypulseq.utils.siemens.readasc import readasc

from seqopt.core import ForbiddenBand
from seqopt.errors import SeqoptError
from seqopt.gradients.asc import LARGEST_BYTES, SAFE_EXAMPLE, CoilData, read_asc


def lines(prefix: str = "", scale: str = "asGPAParameters[0].sGCParameters.", band: str = "aflGCAcousticResonance"):
    """The numbers of the public example, with two bands."""
    out = ['asCOMP[0].tName = "K2309"', "# a comment", f"{prefix}flGSWDFilterOrder = 1"]
    for axis, numbers in zip("XYZ", SAFE_EXAMPLE.axes, strict=True):
        for index in range(3):
            out.append(f"{prefix}flGSWDTau{axis}[{index}] = {numbers.tau_s[index] * 1e3:.6f}  # ms")
            out.append(f"{prefix}flGSWDA{axis}[{index}]\t=\t{numbers.weights[index]}")
        out.append(f"{prefix}flGSWDStimulationLimit{axis} = {numbers.limit_t_per_m_per_s}")
        out.append(f"{prefix}flGSWDStimulationThreshold{axis} = {0.8 * numbers.limit_t_per_m_per_s}")
        if scale is not None:
            out.append(f"{scale}flGScaleFactor{axis} = {numbers.scale}")
    for index, (centre, width) in enumerate(((590, 100), (1140, 220), (0, 0))):
        out += [f"{band}Frequency[{index}] = {centre}", f"{band}Bandwidth[{index}] = {width}"]
    return out


@pytest.fixture
def coil(tmp_path):
    def write(content, name="MP_GPA_TEST.asc"):
        path = tmp_path / name
        path.write_text("\n".join(content) + "\n")
        return path

    return write


OLD = {}
NEW = {"prefix": "GradPatSup.Phys.PNS.", "band": "asGPAParameters[0].sGCParameters.aflAcousticResonance"}


@pytest.mark.parametrize("layout", [OLD, NEW], ids=["names at the top", "nested names"])
def test_both_layouts_give_the_same_coil(coil, layout):
    found = read_asc(coil(lines(**layout)))
    assert found.bands == (ForbiddenBand(590.0, 100.0), ForbiddenBand(1140.0, 220.0))
    assert found.stimulation is not None
    for ours, expected in zip(found.stimulation.axes, SAFE_EXAMPLE.axes, strict=True):
        assert ours.tau_s == pytest.approx(expected.tau_s)
        assert (ours.weights, ours.limit_t_per_m_per_s) == (expected.weights, expected.limit_t_per_m_per_s)
        assert ours.scale == expected.scale


@pytest.mark.parametrize("layout", [OLD, NEW], ids=["names at the top", "nested names"])
def test_it_reads_what_pypulseq_reads(coil, layout):
    path = coil([line for line in lines(**layout) if "asCOMP" not in line])
    asc, _ = readasc(str(path))
    expected, found = asc_to_hw(asc), read_asc(path)
    for axis, ours in zip("xyz", found.stimulation.axes, strict=True):
        theirs = getattr(expected, axis)
        assert [tau * 1e3 for tau in ours.tau_s] == pytest.approx([theirs.tau1, theirs.tau2, theirs.tau3])
        assert ours.scale == pytest.approx(theirs.g_scale)
    bands = asc_to_acoustic_resonances(asc)
    assert [(band.centre_hz, band.width_hz) for band in found.bands] == [
        (b["frequency"], b["bandwidth"]) for b in bands
    ]


def test_coefficients_of_the_heart_are_not_taken_for_those_of_the_nerves(coil):
    heart = [line.replace("PNS", "CarNS").replace("= 30.0", "= 3.0") for line in lines(**NEW)]
    assert read_asc(coil([*heart, *lines(**NEW)])).stimulation.axes[0].limit_t_per_m_per_s == 30.0


def test_an_unsaid_scale_is_one_over_pi_and_said_so(coil):
    found = read_asc(coil(lines(scale=None)))
    assert found.stimulation.axes[0].scale == pytest.approx(0.31831, abs=1e-5)
    assert "1/pi" in found.stimulation.source


def test_a_file_with_bands_alone_has_no_coefficients(coil):
    found = read_asc(coil([line for line in lines() if "GSWD" not in line]))
    assert found.stimulation is None
    assert len(found.bands) == 2


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        ([line for line in lines() if "TauY[1]" not in line], r"flGSWDTauY\[1\] is missing"),
        ([line for line in lines() if "LimitZ" not in line], "flGSWDStimulationLimitZ is missing"),
        ([line for line in lines() if "Bandwidth[1]" not in line], r"Bandwidth\[1\] is missing"),
        ([line.replace("AX[0]\t=\t0.4", "AX[0]\t=\t0.9") for line in lines()], "axis x: SAFE weights"),
        ([line.replace("= 590", "= 590000") for line in lines()], "forbidden band"),
        ([line.replace("LimitX = 30.0", "LimitX = nan") for line in lines()], "LimitX is missing"),
        ([line.replace("LimitX = 30.0", "LimitX = 1e999") for line in lines()], "SAFE limit"),
        (["$INCLUDE MP_GPA_K2309.asc"], "it includes MP_GPA_K2309.asc, give that file"),
        (["hello"], "neither SAFE coefficients"),
        ([""], "neither SAFE coefficients"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(coil, content, saying):
    with pytest.raises(SeqoptError, match=saying) as caught:
        read_asc(coil(content))
    assert "\n" not in str(caught.value)


def test_a_missing_or_huge_file_is_refused(tmp_path):
    with pytest.raises(SeqoptError, match="cannot read"):
        read_asc(tmp_path / "none.asc")
    huge = tmp_path / "huge.asc"
    with huge.open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(SeqoptError, match="expected at most"):
        read_asc(huge)


def test_mutations_are_read_or_refused_in_one_line_never_more(coil):
    original = "\n".join(lines(**NEW)).encode()
    generator = random.Random(0)
    refused = 0
    for _ in range(200):
        text = bytearray(original)
        for _ in range(generator.randint(1, 6)):
            text[generator.randrange(len(text))] = generator.randrange(256)
        path = coil([])
        path.write_bytes(bytes(text[: generator.randrange(len(text))] if generator.random() < 0.5 else text))
        try:
            assert isinstance(read_asc(path), CoilData)
        except SeqoptError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 25
