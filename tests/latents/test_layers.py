"""Names of layers: parts that cover the network, and what is told where there are none."""

import pytest

from sgtool.errors import UserError
from sgtool.latents.layers import WORDS, checked_rows, default_styles, rows_of


@pytest.mark.parametrize(
    ("num_ws", "parts"),
    [
        (18, [range(0, 4), range(4, 8), range(8, 18)]),  # 1024 pixels: StyleGAN, section 3.1
        (14, [range(0, 4), range(4, 8), range(8, 14)]),
        (10, [range(0, 4), range(4, 8), range(8, 10)]),
        (8, [range(0, 4), range(4, 8), range(4, 8)]),
        (6, [range(0, 3), range(3, 6), range(3, 6)]),
        (2, [range(0, 1), range(1, 2), range(1, 2)]),
    ],
)
def test_words_mean_the_sizes_of_the_paper_or_halves_of_a_small_network(num_ws, parts):
    assert [rows_of(word, num_ws) for word in WORDS] == [list(part) for part in parts]


@pytest.mark.parametrize("num_ws", range(2, 27))
def test_coarse_and_fine_leave_out_no_layer_but_middle_ones(num_ws):
    coarse, middle, fine = (checked_rows(word, num_ws, "--styles") for word in WORDS)
    assert sorted({*coarse, *middle, *fine}) == list(range(num_ws))
    assert all((coarse, middle, fine))
    assert not {*coarse} & {*fine}


def test_numbers_are_sorted_and_checked():
    assert checked_rows([3, 1, 3], 4, "--styles") == [1, 3]
    with pytest.raises(UserError, match="--styles 4 does not exist: the network has the layers 0 to 3"):
        checked_rows([0, 4, 5], 4, "--styles")


@pytest.mark.parametrize(("num_ws", "last"), [(18, 6), (16, 6), (14, 6), (12, 5), (8, 3), (6, 2), (4, 1), (2, 0)])
def test_nvidias_default_styles_or_the_first_half(num_ws, last):
    assert default_styles(num_ws) == list(range(last + 1))
