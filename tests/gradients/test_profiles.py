import hashlib
import json
from dataclasses import asdict

import pytest

from seqopt.core import scanner_from_dict
from seqopt.errors import SeqoptError
from seqopt.gradients.profiles import load_scanner, scanner_names
from seqopt.units import hz_per_m_per_s_to_t_per_m_per_s, hz_per_m_to_mt_per_m

GOOD = """
name = "mine"
source = "my own measurement"
vendor = "none"
field_t = 0.5
max_grad_mt_per_m = 30.0
max_slew_t_per_m_per_s = 100
grad_raster_us = 10
rf_raster_us = 1
adc_raster_us = 0.1
block_raster_us = 10
rf_dead_time_us = 100
rf_ringdown_time_us = 30
adc_dead_time_us = 10
"""


@pytest.fixture
def profile(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("name", scanner_names())
def test_every_profile_loads_and_names_its_source(name):
    scanner = load_scanner(name)
    assert scanner.name == name
    assert len(scanner.source) > 10


@pytest.mark.parametrize(
    ("name", "grad", "slew"),
    [("paper", 50, 200), ("prisma", 80, 200), ("freemax", 25, 55), ("ge-premier", 70, 200), ("osi2-one", 14.8, 25)],
)
def test_limits_are_the_published_ones(name, grad, slew):
    scanner = load_scanner(name)
    assert hz_per_m_to_mt_per_m(scanner.max_grad_hz_per_m) == pytest.approx(grad)
    assert hz_per_m_per_s_to_t_per_m_per_s(scanner.max_slew_hz_per_m_per_s) == pytest.approx(slew)


def test_paper_is_the_first_and_has_siemens_like_rasters():
    assert scanner_names()[0] == "paper"
    scanner = load_scanner("paper")
    assert (scanner.grad_raster_s, scanner.rf_raster_s, scanner.adc_raster_s) == (1e-5, 1e-6, 1e-7)
    assert (scanner.rf_dead_time_s, scanner.rf_ringdown_time_s, scanner.adc_dead_time_s) == (1e-4, 3e-5, 1e-5)


def test_a_ge_profile_has_ge_rasters_and_dead_times():
    scanner = load_scanner("mr750")
    assert (scanner.grad_raster_s, scanner.rf_raster_s, scanner.adc_raster_s) == (4e-6, 2e-6, 2e-6)
    assert (scanner.rf_dead_time_s, scanner.rf_ringdown_time_s, scanner.adc_dead_time_s) == (72e-6, 54e-6, 40e-6)


def test_unpublished_dead_times_are_said_to_be_so():
    assert "not published" in load_scanner("umr790").source


def test_limits_can_be_replaced():
    scanner = load_scanner("prisma", max_grad_mt_per_m=30.0, max_slew_t_per_m_per_s=100.0)
    assert hz_per_m_to_mt_per_m(scanner.max_grad_hz_per_m) == pytest.approx(30)
    assert hz_per_m_per_s_to_t_per_m_per_s(scanner.max_slew_hz_per_m_per_s) == pytest.approx(100)


def test_a_users_own_file_loads_by_its_path(profile):
    scanner = load_scanner(profile(GOOD + "max_b1_ut = 10\nadc_max_samples = 4096\n"))
    assert scanner.name == "mine"
    assert scanner.max_b1_hz == pytest.approx(425.76)
    assert scanner.adc_max_samples == 4096


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (("max_grad_mt_per_m = 30.0", "max_grad_mt_per_m = 0.03"), "was it given in T/m"),
        (("max_slew_t_per_m_per_s = 100", "max_slew_t_per_m_per_s = 4e9"), "Hz/m/s"),
        (("rf_dead_time_us = 100", "rf_dead_time_us = 1e6"), "rf_dead_time_s"),
        (("vendor", "vender"), "unknown key 'vender'"),
        (('source = "my own measurement"', ""), "missing source"),
        (("field_t = 0.5", 'field_t = "0.5 T"'), "field_t must be a number"),
        (("field_t = 0.5", "field_t = "), "not valid TOML"),
        (("field_t = 0.5", "field_t = nan"), "field_t must be a number"),
    ],
)
def test_a_wrong_profile_is_refused_in_one_line(profile, change, saying):
    with pytest.raises(SeqoptError, match=saying) as caught:
        load_scanner(profile(GOOD.replace(*change)))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(SeqoptError, match="prisma"):
        load_scanner("prismo")


def test_a_missing_file_is_named():
    with pytest.raises(SeqoptError, match=r"no scanner profile at .*none\.toml"):
        load_scanner("folder/none.toml")


def test_implausible_replacements_are_refused():
    with pytest.raises(SeqoptError, match="mT/m"):
        load_scanner("paper", max_grad_mt_per_m=0.05)


NERVES = """
[pns]
model = "nerve-response"
source = "a table"
chronaxie_us = 360
rheobase_t_per_s = 20
effective_length_m = 0.324
"""
AXIS = "{tau_ms = [0.2, 0.03, 3], weights = [0.4, 0.1, 0.5], limit_t_per_m_per_s = 30, scale = 0.35}"
SAFE = f"""
max_rms_grad_mt_per_m = 12
rms_window_s = 2
oblique = "axis"
resonances_source = "a service manual"
[[resonances]]
centre_hz = 590
width_hz = 100
[pns]
model = "safe"
source = "a table"
x = {AXIS}
y = {AXIS}
z = {AXIS}
"""


def test_a_profile_may_hold_nerves_bands_and_heating_with_their_sources(profile):
    scanner = load_scanner(profile(GOOD + SAFE))
    assert scanner.stimulation.axes[1].tau_s == pytest.approx((0.2e-3, 0.03e-3, 3e-3))
    assert scanner.stimulation.source == "a table"
    assert (scanner.bands[0].low_hz, scanner.bands[0].high_hz) == (540, 640)
    assert scanner.bands_source == "a service manual"
    assert hz_per_m_to_mt_per_m(scanner.max_rms_grad_hz_per_m) == pytest.approx(12)
    assert (scanner.rms_window_s, scanner.oblique) == (2, "axis")
    assert load_scanner(profile(GOOD + NERVES)).stimulation.threshold_t_per_m_per_s == pytest.approx(20 / 0.324)


def test_a_profile_names_what_was_put_in_place_of_its_limits(profile, tmp_path):
    assert load_scanner("paper").overrides == ()
    (tmp_path / "coil.asc").write_text(
        "aflGCAcousticResonanceFrequency[0] = 1000\naflGCAcousticResonanceBandwidth[0] = 50\n"
    )
    own = load_scanner("paper", max_grad_mt_per_m=40, max_slew_t_per_m_per_s=150, asc=str(tmp_path / "coil.asc"))
    digest = hashlib.sha256((tmp_path / "coil.asc").read_bytes()).hexdigest()[:12]
    assert own.overrides == ("--max-grad 40 mT/m", "--max-slew 150 T/m/s", f"--asc coil.asc (SHA-256 {digest})")
    path = profile(GOOD + 'asc = "coil.asc"\n')
    file, coil = load_scanner(path).overrides
    assert file.startswith("profile file")
    assert coil == f"its coil file coil.asc (SHA-256 {digest})"


def test_the_limit_inside_a_band_is_the_convention_unless_the_profile_sets_it(profile):
    assert not load_scanner("paper").band_limit_is_own
    assert load_scanner(profile("resonance_limit_mt_per_m = 10.0\n" + GOOD)).band_limit_is_own


def test_a_profile_survives_the_json_of_a_design(profile):
    for text in (GOOD, GOOD + NERVES, GOOD + SAFE):
        scanner = load_scanner(profile(text))
        assert scanner_from_dict(json.loads(json.dumps(asdict(scanner)))) == scanner


def test_a_profile_names_its_coil_file_relative_to_itself(profile, tmp_path):
    (tmp_path / "coil.asc").write_text(
        "aflGCAcousticResonanceFrequency[0] = 1000\naflGCAcousticResonanceBandwidth[0] = 50\n"
    )
    scanner = load_scanner(profile(GOOD + 'asc = "coil.asc"\n'))
    assert scanner.bands[0].centre_hz == 1000
    assert scanner.bands_source == "coil.asc"
    assert load_scanner(profile(GOOD + 'asc = "coil.asc"\n'), asc="example").bands is None


def test_what_is_not_published_is_absent():
    scanner = load_scanner("prisma")
    assert (scanner.stimulation, scanner.bands, scanner.max_rms_grad_hz_per_m) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        (NERVES.replace("360", "0.36"), "chronaxie: got"),
        (NERVES.replace('"nerve-response"', '"nerves"'), "expected safe or nerve-response"),
        (NERVES.replace("rheobase_t_per_s = 20", ""), "rheobase_t_per_s: got None"),
        (NERVES + "more = 1", "unknown key 'more'"),
        (NERVES.replace('source = "a table"', ""), "source: got None, expected a text"),
        ("pns = 3", r"expected a table \[pns\]"),
        (SAFE.replace("y = {", "why = {"), "unknown key 'why'"),
        (SAFE.replace("0.03, 3]", "0.03]", 1), "expected three numbers"),
        (SAFE.replace("0.1, 0.5", "0.1, 0.9", 1), "a sum of 1"),
        (SAFE.replace("width_hz = 100", "width_hz = -1"), "forbidden band"),
        (SAFE.replace("centre_hz", "center_hz"), "unknown key 'center_hz'"),
        (SAFE.replace('resonances_source = "a service manual"', ""), "resonances_source"),
        (SAFE.replace('"axis"', '"both"'), "expected vector or axis"),
        (SAFE.replace("grad_mt_per_m = 12", "grad_mt_per_m = 120"), "RMS gradient"),
        ("resonances = [1]", "expected entries"),
        ('asc = "none.asc"', "cannot read"),
        ("connection_slew_share = 70", "give a share"),
        ("pns_limit = 80", "give a share"),
    ],
)
def test_wrong_safety_numbers_are_refused_in_one_line(profile, text, saying):
    with pytest.raises(SeqoptError, match=saying) as caught:
        load_scanner(profile(GOOD + text))
    assert "\n" not in str(caught.value)
