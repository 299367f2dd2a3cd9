"""Names are protocols: the published numbers, any count, and the nearest name for a misspelt one."""

import pytest

from sgtool.errors import UserError
from sgtool.measuring.protocols import NAMES, parse, parse_list

FULL = {"fid50k_full": None, "kid50k_full": 1_000_000, "pr50k3_full": 200_000}


def test_every_published_name_is_its_own_protocols_name():
    for name in NAMES:
        assert parse(name).name == name


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("swd", "msssim", "dens", "mem"))])
def test_nvidias_protocols_take_fifty_thousand(name):
    assert parse(name).count == 50_000


@pytest.mark.parametrize(("name", "real"), FULL.items())
def test_full_means_all_real_pictures_as_they_are(name, real):
    assert parse(name).real == real
    assert not parse(name).mirror
    older = parse(name.removesuffix("_full"))
    assert older.real == 50_000
    assert older.mirror


def test_the_published_settings():
    assert parse("kid50k_full").settings == {"subset_size": 1000, "num_subsets": 100}
    assert parse("pr50k3").settings == {"k": 3}
    assert parse("is50k").settings == {"splits": 10}
    assert parse("swd16k").count == parse("swd16k").real == 16_384
    assert parse("msssim10k").count == 10_000


@pytest.mark.parametrize(
    ("name", "space", "sampling", "crop"),
    [
        ("ppl2_wend", "w", "end", False),
        ("ppl_zfull", "z", "full", True),
        ("ppl_wfull", "w", "full", True),
        ("ppl_zend", "z", "end", True),
        ("ppl_wend", "w", "end", True),
    ],
)
def test_path_lengths_are_named_after_space_and_sampling(name, space, sampling, crop):
    assert parse(name).settings == {"space": space, "sampling": sampling, "epsilon": 1e-4, "crop": crop}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("fid5k_full", 5000), ("fid12345", 12345), ("kid500", 500), ("pr5k3", 5000), ("pr500_3_full", 500), ("is2k", 2000),
        ("ppl2_wend1k", 1000), ("ppl_zfull20", 20), ("swd2k", 2048), ("swd9501", 9501), ("msssim100", 100),
        ("density_coverage1k", 1000), ("clean_fid5k", 5000), ("memorization2k", 2000),
    ],
)  # fmt: skip
def test_any_count_by_name(name, count):
    protocol = parse(name)
    assert (protocol.name, protocol.count) == (name, count)
    assert protocol.of(7000).of(count).name == name


def test_with_another_count_the_real_pictures_follow_where_they_are_as_many():
    assert (parse("fid50k").of(900).name, parse("fid50k").of(900).real) == ("fid900", 900)
    assert parse("pr50k3").of(900).name == "pr900_3"
    assert parse("kid50k_full").of(900).real == 1_000_000
    assert parse("memorization").of(900).name == "memorization900"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("fid50k_ful", "fid50k_full"), ("ppl_wendd", "ppl_wend"), ("swd", "swd16k"), ("pr50003", "pr50k3")],
)
def test_a_misspelt_name_is_told_the_nearest(name, nearest):
    with pytest.raises(
        UserError, match=f"--metrics {name}: there is no such metric; the nearest is {nearest}. There are: fid50k"
    ):
        parse(name)


@pytest.mark.parametrize("name", ["fid0", "fid99999999k", "pr3k0"])
def test_a_count_out_of_range_is_refused(name):
    with pytest.raises(UserError, match=f"--metrics {name}"):
        parse(name)


def test_fewer_pictures_than_the_number_is_defined_for_are_refused():
    for name in ("fid1", "is9", "pr3_3", "density_coverage5"):
        with pytest.raises(UserError, match="it needs at least"):
            parse(name)


def test_a_list_names_each_once_in_its_order():
    assert [protocol.name for protocol in parse_list("swd2k, fid5k,swd2k")] == ["swd2k", "fid5k"]
    with pytest.raises(UserError, match="--metrics names no metric"):
        parse_list(" ,")
