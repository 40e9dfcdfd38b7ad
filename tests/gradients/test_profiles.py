import pytest

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
