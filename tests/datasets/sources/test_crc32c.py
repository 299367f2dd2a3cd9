import numpy as np
import pytest
from source_makers import crc32c_by_bits

from sgtool.datasets.sources.crc32c import crc32c, masked


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, appendix B.4, and the usual check value of the polynomial
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_values(data, expected):
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [255, 256, 257, 260, 1023, 5000, 20001])
def test_long_data_give_the_same_as_bit_by_bit(size):
    data = np.random.RandomState(size).bytes(size)
    assert crc32c(data) == crc32c_by_bits(data)


def test_a_changed_bit_is_noticed_wherever_it_is():
    data = bytearray(np.random.RandomState(0).bytes(3000))
    before = crc32c(bytes(data))
    for place in (0, 1500, 2999):
        data[place] ^= 1
        assert crc32c(bytes(data)) != before
        data[place] ^= 1


def test_the_mask_turns_by_15_bits_and_adds_a_constant():
    assert masked(0) == 0xA282EAD8
    assert masked(1 << 15) == 0xA282EAD9
    assert masked(1) == (0xA282EAD8 + (1 << 17)) & 0xFFFFFFFF
