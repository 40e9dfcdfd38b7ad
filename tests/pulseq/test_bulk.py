"""Large sequences: compiled loops write, read and certify what numpy does, to the last bit, and nobody needs them."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from designs import paper_scanner, radial_design
from mutations import MUTATIONS, signed
from pypulseq_files import GOOD

import seqopt.pulseq
from seqopt.errors import SeqoptError
from seqopt.pulseq import bulk, kernels, seqshapes
from seqopt.pulseq.certificate import certify
from seqopt.pulseq.gre import write_gre
from seqopt.pulseq.seqfile import read_seqfile
from seqopt.pulseq.seqtext import Section, _long_lines

NEVER = 10**12


@pytest.fixture
def compiled(monkeypatch):
    """Switch compiled loops on (every size) or off."""

    def switch(on: bool) -> None:
        monkeypatch.setattr(bulk, "FROM_NUMBERS", 0 if on else NEVER)

    return switch


def outcome(path, **options):
    """The certificate, or the line that refuses the file."""
    try:
        return certify(path, paper_scanner(), **options).to_dict()
    except SeqoptError as error:
        return str(error)


@pytest.mark.parametrize("name", GOOD)
def test_files_of_every_kind_get_the_same_certificate(name, compiled, tmp_path):
    path = GOOD[name](tmp_path / "a.seq")
    compiled(True)
    quick = outcome(path)
    compiled(False)
    assert quick == outcome(path)


@pytest.mark.parametrize("changes", [{}, {"shots": 3, "slices": 2}, {"wiggle": 0.7}])
def test_a_design_is_written_to_the_same_bytes_and_certified_with_the_same_numbers(changes, compiled, tmp_path):
    design = radial_design(**{"shots": 8, "samples": 200, "wiggle": 0.5, **changes})
    found = []
    for on in (True, False):
        compiled(on)
        write_gre(design, tmp_path / "a.seq")
        found.append(((tmp_path / "a.seq").read_bytes(), outcome(tmp_path / "a.seq", design=design)))
    assert found[0] == found[1]


def test_damaged_files_get_the_same_line(compiled, tmp_path):
    design = radial_design(shots=3, samples=128, wiggle=0.5)
    write_gre(design, tmp_path / "ours.seq")
    raws = [(tmp_path / "ours.seq").read_bytes(), GOOD["spiral as 1.4.1"](tmp_path / "spiral.seq").read_bytes()]
    rng = random.Random(5)
    for number in range(60):
        path = tmp_path / "a.seq"
        path.write_bytes(signed(rng.choice(MUTATIONS)(raws[number % 2], rng)))
        compiled(True)
        quick = outcome(path)
        compiled(False)
        assert quick == outcome(path), path.read_bytes()[:2000]


def parsed(text):
    raw = text.encode()
    return seqshapes._all_plain(raw, Section(1, 0, len(raw)))


def test_numbers_are_those_of_python_to_the_last_bit(compiled):
    compiled(True)
    generator = np.random.default_rng(3)
    values = [
        *generator.uniform(-1, 1, 3000),
        *(generator.uniform(-1, 1, 3000) * 10.0 ** generator.uniform(-8, 2, 3000)),
    ]
    forms = ["{:.9g}", "{:.6f}", "{:.9f}", "{:.12f}", "{:.0f}", "{:.3e}", "{:.10g}"]
    texts = [forms[at % len(forms)].format(value) for at, value in enumerate(values)]
    texts = [text for text in texts if "e+" not in text]
    texts += "0 -0 -0.000000 0.1 1 -1 999999999 0.99999999999999 1e-9 -2.5e-07".split()
    shape = parsed("shape_id 7\nnum_samples 5\n" + "\n".join(texts) + "\n")[7]
    expected = np.array([float(text) for text in texts])
    assert shape.packed.tobytes() == expected.tobytes()
    assert shape.largest == np.abs(expected).max()
    assert (shape.line, shape.samples) == (1, 5)


ODD = [
    *"1.2.3 1-2 --1 1e 1e- e-5 1e-5.3 1e-5e-5 0x1 nan inf 1_0 - . 5. -.5 #1 1e5 1e+5 -e-3 1.-5 +1 1,5".split(),
    *(
        "1 2",
        " 1",
        "1 ",
        "1\r",
        "1e-005",
        "1234567890123456",
        "0.0000000000000000000000001",
        "1e-23",
        "\uff11",
        "1\n\n2",
    ),
]


EXTREME = [
    *"1 -0 0.1 .5 1e5 1E-5 123456789012345 0.30000000000000004 9007199254740993 1e22 1e-22 1e-323 1e999 -nan".split(),
    *"1.7976931348623157e308 4.9e-324 2.2250738585072011e-308 123456.789012345 0.000000000000001 1__0 1e_5".split(),
    *"0.76235842150889626 0.124775948028053977".split(),  # more digits than one division rounds right
    *"infinity 00000000000000001 0000.5 1. 8.5e-17 999999999999999e-22 \t1 1\x0b2".split(" "),
]


@pytest.mark.parametrize("token", [*ODD, *EXTREME])
def test_both_readers_take_a_token_for_what_python_does_or_refuse_it_alike(token, compiled):
    raw = f"shape_id 1\nnum_samples 3\n0.5\n{token}\n-1\n".encode()
    found = []
    for on in (True, False):
        compiled(on)
        try:
            shape = seqshapes.read_shapes(raw, Section(1, 0, len(raw)), [])[1]
            found.append((shape.packed.tobytes(), repr(shape.largest)))
        except SeqoptError as error:
            found.append(str(error))
    lines = [line.strip() for line in f"0.5\n{token}\n-1".split("\n")]
    try:
        values = [float("x" if "_" in line else line) for line in lines if line and line[0] != "#"]
        expected = np.array(values).tobytes(), repr(float(np.abs(values).max()))
    except ValueError:
        expected = f"line 4: {token.strip()!r} is not a number; the file is damaged"
    assert found == [expected, expected]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("where", [0, 1, 2])
def test_anything_else_is_left_to_the_reader_that_knows_lines(odd, where, compiled):
    compiled(True)
    lines = ["0.5", "-0.25", "1e-05"]
    assert parsed("\nshape_id 1\nnum_samples 3\n" + "\n".join(lines) + "\n")[1].packed.tolist() == [0.5, -0.25, 1e-5]
    lines[where] = odd
    assert parsed("\nshape_id 1\nnum_samples 3\n" + "\n".join(lines) + "\n") is None


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "shape_id 1\n", "shape_id 1", "shape_id 1\nnum_samples 1\n", "shape_id 1\nnum_samples 1\n0.5",
        "shape_id\nnum_samples 1\n1\n", "shape_id 0\nnum_samples 1\n1\n", "shape_id 1\nnum_samples 0\n1\n",
        "shape_id 1\nnum_samples 1000001\n1\n", "shape_id 1\nnum_samples 1\n1\n\nshape_id 1\nnum_samples 1\n1\n",
        "Shape_ID 1\nNum_Uncompressed 1\n1\n", "shape_id 1\n\nnum_samples 1\n1\n", "1\nshape_id 1\nnum_samples 1\n1\n",
        "shape_id 1\nnum_samples 1\n1\nshape_id 2\nnum_samples 1\n1\n", "shape_id 1\nnum_samples 1\n2000000000\n",
        "shape_id 99999999999999999999\nnum_samples 1\n1\n", "shape_id -1\nnum_samples 1\n1\n",
    ],
)  # fmt: skip
def test_heads_that_are_unusual_or_wrong_are_left_to_it_too(text, compiled):
    compiled(True)
    assert parsed(text) is None


def test_comments_and_blank_lines_between_shapes_are_passed_over(compiled):
    compiled(True)
    found = parsed("\n# one\nshape_id 1\nnum_samples 2\n1\n0.5\n\n\n# two\nshape_id 5\nnum_samples 1\n-1\n\n# end\n")
    assert [(n, s.line, s.packed.tolist()) for n, s in found.items()] == [(1, 3, [1.0, 0.5]), (5, 10, [-1.0])]


def test_without_a_compiler_or_a_place_for_its_work_numpy_does_it(compiled, monkeypatch, tmp_path):
    compiled(True)
    monkeypatch.delattr(seqopt.pulseq, "kernels")
    monkeypatch.setitem(sys.modules, "seqopt.pulseq.kernels", None)
    bulk._kernels.cache_clear()
    try:
        assert bulk.kernels_for(NEVER) is None
        write_gre(radial_design(shots=3, samples=128, wiggle=0.5), tmp_path / "a.seq")
        assert certify(tmp_path / "a.seq", paper_scanner()).holds
    finally:
        bulk._kernels.cache_clear()


def test_numba_that_finds_no_folder_for_its_work_is_no_error():
    script = "from seqopt.pulseq.bulk import kernels_for; print(kernels_for(10**9))"
    environment = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "IPythonCacheLocator"}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "None\n", "")


def test_numba_that_compiles_nothing_is_not_used():
    program = "from seqopt.pulseq.bulk import kernels_for; print(kernels_for(10**7))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "None\n"


def test_small_files_never_load_compiled_loops(tmp_path):
    write_gre(radial_design(shots=4, samples=128, wiggle=0.5), tmp_path / "a.seq")
    script = (
        "import sys; from pathlib import Path; from seqopt.pulseq.certificate import certify\n"
        "from seqopt.gradients.profiles import load_scanner\n"
        "certify(Path(sys.argv[1]), load_scanner('paper')); print('numba' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.seq")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_garbage_is_collected_again_after_a_file_whatever_became_of_it(tmp_path):
    (tmp_path / "a.seq").write_text("nothing")
    with pytest.raises(SeqoptError):
        certify(tmp_path / "a.seq", paper_scanner())
    assert gc.isenabled()
    gc.disable()
    try:
        with pytest.raises(SeqoptError):
            certify(tmp_path / "a.seq", paper_scanner())
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_long_lines_are_found_wherever_they_start():
    rng = random.Random(1)
    for _ in range(500):
        lines = [b"x" * rng.choice((0, 1, 100, 127, 128, 129, 253, 254, 255, 256, 300, 511, 700)) for _ in range(6)]
        starts = np.cumsum([0, *(len(line) + 1 for line in lines)]).tolist()
        expected = [(start, len(line)) for start, line in zip(starts, lines, strict=False) if len(line) > 254]
        assert _long_lines(b"\n".join(lines)) == expected


def test_kernels_agree_with_the_definition_of_what_they_measure():
    generator = np.random.default_rng(4)
    times = np.cumsum(generator.uniform(0.5, 2, 50))
    axes = generator.normal(size=(3, 50))
    energy = np.zeros(3)
    kernels.energy_of_block(times, *axes, energy)
    fine = np.linspace(times[0], times[-1], 2_000_001)
    for axis, found in zip(axes, energy, strict=True):
        assert found == pytest.approx(np.trapezoid(np.interp(fine, times, axis) ** 2, fine), rel=1e-6)
    values, moments = np.empty((2, 50))
    kernels.waveform(axes[0], 3.0, np.diff(times), values, moments)
    np.testing.assert_allclose(values, 3 * axes[0])
    assert moments[-1] == pytest.approx(3 * np.trapezoid(axes[0], times))


def test_a_file_read_by_compiled_loops_is_the_file(compiled, tmp_path):
    write_gre(radial_design(shots=8, samples=200, wiggle=0.5), tmp_path / "a.seq")
    compiled(True)
    quick = read_seqfile(tmp_path / "a.seq").shapes
    compiled(False)
    slow = read_seqfile(tmp_path / "a.seq").shapes
    assert list(quick) == list(slow)
    for number, shape in slow.items():
        assert quick[number].packed.tobytes() == shape.packed.tobytes()
        assert (quick[number].line, quick[number].samples) == (shape.line, shape.samples)
