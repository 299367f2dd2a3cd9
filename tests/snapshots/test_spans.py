"""Bytes of a file that are read when they are asked for, and tensors that are described before."""

import io
import os

import pytest
import torch

from sgtool.errors import UserError
from sgtool.snapshots.spans import MOST_AXES, Refused, Span, Stored, file_span


def span_of(data):
    return Span(io.BytesIO(data), 0, len(data))


def stored(tensor, **changes):
    """The `Stored` of a contiguous tensor."""
    data = bytes(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return Stored(**({"span": span_of(data), "dtype": tensor.dtype, "shape": tuple(tensor.shape)} | changes))


def test_a_span_reads_its_range_and_no_more():
    span = Span(io.BytesIO(b"0123456789"), 2, 6)
    assert len(span) == 6
    assert span.read() == b"234567"
    assert span.read(1, 3) == b"345"
    assert span.part(4, 2).read() == b"67"
    assert span.part(6, 0).read() == b""
    buffer = bytearray(6)
    span.into(buffer)
    assert buffer == b"234567"


@pytest.mark.parametrize(("offset", "size"), [(0, 7), (6, 1), (-1, 2), (0, -1), (2**70, 1), (0, 2**70)])
def test_nothing_beyond_a_span_can_be_had(offset, size):
    with pytest.raises(Refused, match="reaches beyond its end"):
        Span(io.BytesIO(b"0123456789"), 2, 6).part(offset, size)


def test_a_file_that_became_shorter_is_damaged():
    span = Span(io.BytesIO(b"012"), 0, 10)
    with pytest.raises(Refused, match="became shorter"):
        span.read()
    with pytest.raises(Refused, match="became shorter"):
        span.into(bytearray(10))


def test_an_error_of_the_disk_is_told_in_words():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(Refused, match=r"cannot be read: Input/output error\."):
        Span(Broken(b"0123"), 0, 4).read()


DTYPES = [
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.complex64, torch.complex128),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 0, 3), (2, 1, 3, 1)])
def test_tensors_of_every_type_come_out_as_they_went_in(dtype, shape):
    torch.manual_seed(0)
    tensor = (torch.rand(shape) * 4).round().to(dtype)
    read = stored(tensor).tensor()
    assert (read.dtype, read.shape, read.is_contiguous()) == (dtype, tensor.shape, True)
    assert torch.equal(read.view(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int64, torch.complex64, torch.complex128, torch.uint8])
def test_bytes_of_the_other_kind_of_machine_are_turned(dtype):
    tensor = (torch.arange(12).to(dtype) + (1j if dtype.is_complex else 0)).view(3, 4)
    swapped = tensor.numpy().byteswap().tobytes()
    read = Stored(span_of(swapped), dtype, (3, 4), swapped=True)
    assert torch.equal(read.tensor(), tensor)
    turned = Stored(span_of(swapped), dtype, (4, 3), (1, 4), swapped=True)
    assert torch.equal(turned.tensor(), tensor.t())


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.permute(2, 0, 1),
        lambda x: x[1:, ::2, 3],
        lambda x: x[:, 1],
        lambda x: x.diagonal(dim1=1, dim2=2),
        lambda x: x[2, 3, 4],
        lambda x: x[:0],
        lambda x: x[:, :1].expand(-1, 2, -1),
    ],
)
def test_views_are_read_by_offset_and_strides(view):
    whole = torch.arange(60.0).view(3, 4, 5)
    part = view(whole)
    read = stored(whole, shape=tuple(part.shape), strides=part.stride(), offset=part.storage_offset()).tensor()
    assert torch.equal(read, part)
    assert read.is_contiguous()
    assert read.untyped_storage().nbytes() <= 60 * 4


def test_a_tensor_owns_its_memory():
    one = stored(torch.zeros(3))
    one.tensor().add_(1)
    assert one.tensor().tolist() == [0, 0, 0]


def test_only_what_a_view_spans_is_read():
    reads = []

    class Counting(io.BytesIO):
        def readinto(self, buffer):
            reads.append(len(buffer))
            return super().readinto(buffer)

    span = Span(Counting(bytes(4000)), 0, 4000)
    assert Stored(span, torch.float32, (2, 2), (10, 1), 100).tensor().shape == (2, 2)
    assert reads == [12 * 4]
    assert Stored(span, torch.float32, (2, 2), (10, 1), 100).reach == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (11,)},
        {"shape": (10,), "offset": 1},
        {"shape": (2,), "strides": (10,)},
        {"shape": (2,), "strides": (9,), "offset": 1},
        {"shape": (11,), "strides": (0,)},
        {"shape": (10**12,), "strides": (0,)},
        {"shape": (2**40, 2**40)},
        {"shape": (2**62,)},
        {"shape": (2**62, 4)},
        {"shape": (0, 2**63)},
        {"shape": (0, 2**40, 2**40)},
        {"shape": (-1,)},
        {"shape": (-2, -5)},
        {"shape": (2,), "strides": (-1,), "offset": 5},
        {"shape": (1,), "strides": (2**70,)},
        {"shape": (2,), "strides": (2**70,)},
        {"shape": (2,), "offset": -1},
        {"shape": (2,), "offset": 2**70},
        {"shape": (0,), "offset": 2**70},
        {"shape": (2,), "offset": None},
        {"shape": (2,), "offset": 1.0},
        {"shape": (2.0,)},
        {"shape": (True,)},
        {"shape": ("2",)},
        {"shape": (None,)},
        {"shape": (float("nan"),)},
        {"shape": (10**4000,)},
        {"shape": (1,) * (MOST_AXES + 1)},
        {"shape": (2, 2), "strides": (1,)},
        {"shape": (), "strides": (1,)},
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_allocated(changes):
    assert stored(torch.zeros(10)).shape == (10,)
    with pytest.raises(Refused, match="describes a tensor of shape") as caught:
        stored(torch.zeros(10), **changes)
    assert len(str(caught.value)) < 250


def test_a_whole_file_is_a_span_and_links_are_followed(tmp_path):
    (tmp_path / "model").write_bytes(b"0123")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    with file_span(tmp_path / "link", "a snapshot") as span:
        assert span.read() == b"0123"
    assert span.file.closed


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    cases = {
        tmp_path: "is not a file. Give a snapshot",
        tmp_path / "none": "does not exist. Give a snapshot",
        tmp_path / "dangling": "does not exist",
        tmp_path / "empty": "is empty",
        tmp_path / "empty" / "inside": "does not exist",
        tmp_path / ("x" * 5000): "cannot be read: File name too long",
        "a\0b": "cannot be read",
    }
    for path, words in cases.items():
        with pytest.raises(UserError, match=words), file_span(path, "a snapshot"):
            raise AssertionError("it was opened")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_nobody_writes_to_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"), file_span(tmp_path / "pipe", "a snapshot"):
        raise AssertionError("it was opened")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_told(tmp_path):
    (tmp_path / "x").write_bytes(b"0")
    (tmp_path / "x").chmod(0)
    with pytest.raises(UserError, match="cannot be read: Permission denied"), file_span(tmp_path / "x", "a snapshot"):
        raise AssertionError("it was opened")
