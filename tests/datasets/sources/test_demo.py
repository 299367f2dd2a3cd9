import numpy as np
import pytest

from sgtool.datasets.sources import load, open_source
from sgtool.datasets.sources.demo import DIGITS
from sgtool.errors import UserError
from sgtool.images import from_pil


def test_the_embedded_digits_are_scikit_learns():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    source = open_source("demo:digits")
    assert len(source.names) == 1797
    assert [source.labels[name] for name in source.names] == digits.target.tolist()
    assert source.class_names == list("0123456789")
    for i in range(0, 1797, 50):
        np.testing.assert_array_equal(from_pil(load(source.picture(i)))[:, :, 0], np.rint(digits.images[i] * 255 / 16))


def test_the_embedded_digits_carry_their_attribution():
    with np.load(DIGITS, allow_pickle=False) as file:
        assert "CC BY 4.0" in str(file["attribution"])
        assert file["images"].shape == (1797, 8, 8)
        assert file["images"].dtype == np.uint8
        assert file["images"].max() == 16


def test_an_unknown_demo_names_the_one_there_is():
    with pytest.raises(UserError, match="demo:faces is not known. The one embedded collection is demo:digits"):
        open_source("demo:faces")
