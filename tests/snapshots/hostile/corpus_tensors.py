"""Tensors and arrays that say they are larger, smaller or other than their bytes."""

import struct

import models
from archives import BINPERSID, legacy, nested, nested_storage, storage, tensor, torch_zip
from corpus import add
from opcodes import EMPTY_TUPLE, NONE, TRUE, call, items, listed, long, mapping, named, number, raw, real, text, whole

CONST = "synthesis.b4.const"
BILLION = 10**9
KINDS = {
    "a billion elements": (0, (BILLION,), (1,)),
    "a trillion elements of stride 0": (0, (10**12,), (0,)),
    "many dimensions of stride 0": (0, (10**4,) * 4, (0,) * 4),
    "a shape that overflows": (0, (2**62, 4), (4, 1)),
    "a shape whose product is 2**64": (0, (2**32, 2**32), (0, 0)),
    "a negative shape": (0, (-4,), (1,)),
    "two negative shapes": (0, (-2, -2), (2, 1)),
    "a negative stride": (3, (4,), (-1,)),
    "a stride of 2**62": (0, (2,), (2**62,)),
    "an offset beyond the end": (4, (4,), (1,)),
    "a negative offset": (-1, (4,), (1,)),
    "an offset of 2**63": (2**63, (4,), (1,)),
    "a hundred dimensions": (0, (1,) * 100, (1,) * 100),
    "more strides than dimensions": (0, (4,), (1, 1)),
    "an empty shape that overflows": (0, (0, 2**62, 2**62), (1, 1, 1)),
    "a number of a thousand bytes for a shape": (0, (1 << 8000,), (1,)),
}
for name, (offset, shape, strides) in KINDS.items():
    add(f"a tensor of {name}", lambda o=offset, h=shape, t=strides: models.nvidia({CONST: tensor(nested_storage(), o, h, t)}))
    add(f"in a torch file: a tensor of {name}", lambda o=offset, h=shape, t=strides: in_zip(tensor(storage(), o, h, t)))
    add(
        f"in sgtool's own format: a tensor of {name}",
        lambda o=offset, h=shape, t=strides: own_format(tensor(storage(), o, h, t)),
    )
PARTS = {
    "a shape in words": (number(0), text("4"), items(number(1))),
    "a shape in a list": (number(0), listed(number(4)), items(number(1))),
    "a shape of truths": (number(0), items(TRUE), items(number(1))),
    "a fractional shape": (number(0), items(real(4.0)), items(number(1))),
    "a shape that is no number": (number(0), items(real(float("nan"))), items(number(1))),
    "a shape of nothing": (number(0), NONE, items(number(1))),
    "strides in words": (number(0), items(number(4)), text("1")),
    "no strides": (number(0), items(number(4)), NONE),
    "an offset in words": (text("0"), items(number(4)), items(number(1))),
    "a fractional offset": (real(0.0), items(number(4)), items(number(1))),
    "an offset that is true": (TRUE, items(number(4)), items(number(1))),
}
for name, parts in PARTS.items():
    made = call("torch._utils._rebuild_tensor_v2", nested_storage(), *parts, b"\x89", call("collections.OrderedDict"))
    add(f"a tensor with {name}", lambda made=made: models.nvidia({CONST: made}))
PLACES = {
    "no storage": NONE,
    "a text for a storage": text("0"),
    "bytes for a storage": raw(bytes(16)),
    "a name for a storage": named("torch.FloatStorage"),
    "a tensor for a storage": tensor(nested_storage()),
    "a dict for a storage": mapping(a=NONE),
}
for name, place in PLACES.items():
    add(f"a tensor with {name}", lambda place=place: models.nvidia({CONST: tensor(place)}))
add("a tensor without arguments", models.nvidia({CONST: call("torch._utils._rebuild_tensor_v2")}))
add("a tensor with twenty arguments", models.nvidia({CONST: call("torch._utils._rebuild_tensor_v2", *[NONE] * 20)}))
add("a parameter of a text", models.nvidia({CONST: call("torch._utils._rebuild_parameter", text("a"), TRUE, NONE)}))
add("a parameter without arguments", models.nvidia({CONST: call("torch._utils._rebuild_parameter")}))
STATEFUL = call("torch._utils._rebuild_parameter_with_state", NONE, TRUE, NONE, NONE)
add("a parameter with state", models.nvidia({CONST: STATEFUL}))


def typed(kind):
    """A tensor of 4 numbers in 16 bytes, said to be of a type."""
    shape, strides = items(number(4)), items(number(1))
    return call("torch._utils._rebuild_tensor_v3", nested_storage(), number(0), shape, strides, b"\x89", NONE, kind, b"\x89")


add("a tensor of a larger type than its storage", models.nvidia({CONST: typed(named("torch.complex128"))}))
add("a tensor whose type is a text", models.nvidia({CONST: typed(text("float32"))}))
add("a tensor whose type is a function", models.nvidia({CONST: typed(named("torch._utils._rebuild_tensor_v2"))}))


def in_zip(value, held=bytes(16)):
    """A torch file of a rosinality generator with one tensor."""
    return torch_zip(mapping(g_ema=mapping((text("style.1.weight"), value), (text("input.input"), value))), {"0": held})


def own_format(value, held=bytes(16)):
    """A torch file of sgtool's with one tensor and nothing else."""
    network = mapping(init=models.value(models.SMALL), state=mapping((text(CONST), value)))
    return torch_zip(mapping(format=text("sgtool"), version=number(1), kind=text("snapshot"), G_ema=network), {"0": held})


# Storages that are not what the file holds.
for name, (numbers, data) in {
    "a billion numbers in 16 bytes": (BILLION, bytes(16)),
    "a negative count": (-1, bytes(16)),
    "a count of 2**62": (2**62, bytes(16)),
    "a count of -2**63": (-(2**63), bytes(16)),
    "less data than it says": (4, bytes(15)),
    "no data": (4, b""),
}.items():
    add(f"a storage with {name}", lambda n=numbers, d=data: models.nvidia({CONST: tensor(nested_storage(numbers=n, data=d))}))
    stream = legacy(tensor(storage(size=4, view=NONE)), ["0"], struct.pack("<q", numbers) + data)
    add(f"an old torch file with {name}", stream)
add("a storage with more data than it says", lambda: models.nvidia({CONST: tensor(nested_storage(data=bytes(1000)))}))
add(
    "a storage of two keys",
    models.nvidia(
        {CONST: tensor(nested(legacy(storage("torch.FloatStorage", "7", 4, NONE), ["7", "8"], struct.pack("<q", 4) + bytes(16))))}
    ),
)
add(
    "a storage without its key",
    models.nvidia({CONST: tensor(nested(legacy(storage("torch.FloatStorage", "7", 4, NONE), [], b"")))}),
)
add(
    "a storage with the same key twice",
    legacy(storage("torch.FloatStorage", "7", 4, NONE), ["7", "7"], 2 * (struct.pack("<q", 4) + bytes(16))),
)
add(
    "two storages of one key and two sizes",
    torch_zip(items(tensor(storage(size=4)), tensor(storage(size=10**9))), {"0": bytes(16)}),
)
add(
    "two storages of one key and two types",
    torch_zip(items(tensor(storage()), tensor(storage("torch.DoubleStorage", size=2), shape=(2,))), {"0": bytes(16)}),
)
add(
    "a view beyond its storage",
    legacy(tensor(storage(view=items(text("v"), number(2), number(4)))), ["0"], struct.pack("<q", 4) + bytes(16)),
)
add(
    "a view with a negative offset",
    legacy(tensor(storage(view=items(text("v"), number(-2), number(4)))), ["0"], struct.pack("<q", 4) + bytes(16)),
)
add("a view in words", legacy(tensor(storage(view=text("v"))), ["0"], struct.pack("<q", 4) + bytes(16)))
add("a storage of bytes that lacks its pickles", models.nvidia({CONST: tensor(nested(b""))}))
add("a storage of bytes that are no pickle", models.nvidia({CONST: tensor(nested(b"\xff" * 100))}))
add("a storage that is a list", models.nvidia({CONST: tensor(nested(legacy(listed(number(1)))))}))
add(
    "a storage that is a tensor",
    models.nvidia({CONST: tensor(nested(legacy(tensor(storage(view=NONE)), ["0"], struct.pack("<q", 4) + bytes(16))))}),
)
add("a storage made of a text", models.nvidia({CONST: tensor(call("torch.storage._load_from_bytes", text("os.system")))}))
add("a storage made of a number", models.nvidia({CONST: tensor(call("torch.storage._load_from_bytes", number(10**9)))}))
add("a storage made of two", models.nvidia({CONST: tensor(call("torch.storage._load_from_bytes", raw(b""), raw(b"")))}))
add("a storage with a wrong magic number", models.nvidia({CONST: tensor(nested(legacy(storage(view=NONE), magic=1)))}))
add("a storage of another protocol", models.nvidia({CONST: tensor(nested(legacy(storage(view=NONE), protocol=1002)))}))
add(
    "a storage whose keys are a number",
    models.nvidia({CONST: tensor(nested(legacy(storage(view=NONE))[:-4] + whole(number(10**9), 2)))}),
)
add("a torch file with a storage of another size", in_zip(tensor(storage(size=5))))
add("a torch file with a storage of a billion", in_zip(tensor(storage(size=BILLION), 0, (BILLION,))))
add("a torch file with a storage of odd size", in_zip(tensor(storage()), bytes(15)))
add("a torch file with a quantized storage", in_zip(tensor(storage("torch.QInt8Storage"))))
add("a torch file with a storage of no type", in_zip(tensor(storage("torch.os"))), "torch.os")

# Arrays of numpy.
for name, (shape, data) in {
    "a billion elements": ([BILLION], bytes(16)),
    "a shape that overflows": ([2**62, 4], bytes(16)),
    "a negative shape": ([-4], bytes(16)),
    "two negative shapes": ([-2, -2], bytes(16)),
    "too few bytes": ([4], bytes(15)),
    "too many bytes": ([4], bytes(64)),
    "a hundred dimensions": ([1] * 100, bytes(4)),
    "no bytes": ([4], b""),
    "an empty shape that overflows": ([0, 2**62, 2**62], b""),
}.items():
    add(f"an array of {name}", lambda s=shape, d=data: models.tensorflow(variables={"dlatent_avg": models.array(s, d)}))
for name, kind in {
    "objects": models.dtype("O8", "|"),
    "Python objects": models.dtype("O", "|"),
    "texts": models.dtype("U9"),
    "raw bytes": models.dtype("V1000", "|"),
    "a billion raw bytes": models.dtype("V1000000000", "|"),
    "dates": models.dtype("M8"),
    "parts": models.dtype("V8", "|", names=items(text("a")), fields=mapping(a=items(models.dtype(), number(0)))),
    "arrays": models.dtype("V16", "|", subarray=items(models.dtype(), items(number(2), number(2)))),
    "a billion arrays": models.dtype("V8", "|", subarray=items(models.dtype(), items(number(BILLION)))),
    "no type": models.dtype("os.system"),
    "types in words": models.dtype("f4,O,os"),
    "numbers of negative size": models.dtype("f-4"),
    "numbers of a billion bytes": models.dtype("f1000000000"),
    "numbers in no order": models.dtype(order="os"),
    "numbers in an order of no letter": models.dtype(order=""),
    "a size of its own": models.dtype(size=number(1)),
    "flags": models.dtype(flags=number(63)),
}.items():
    add(f"an array of {name}", lambda k=kind: models.tensorflow(variables={"dlatent_avg": models.array([8], bytes(32), k)}),
        harmless=name in ("a size of its own", "flags"))  # fmt: skip
add("an array of a list", models.tensorflow(variables={"dlatent_avg": models.array([1], [listed(text("os.system"))])}))
add("an array of a text", models.tensorflow(variables={"dlatent_avg": models.array([1], [text("four")])}))
add(
    "an array without a state",
    models.tensorflow(
        variables={"lod": call("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), items(number(10**9)), raw(b"b"))}
    ),
)
add(
    "an array of another class",
    models.tensorflow(
        variables={"lod": call("numpy.core.multiarray._reconstruct", named("numpy.memmap"), items(number(0)), raw(b"b"))}
    ),
    "numpy.memmap",
)
add(
    "an array of no class",
    models.tensorflow(variables={"lod": call("numpy.core.multiarray._reconstruct", text("os"), items(number(0)), raw(b"b"))}),
)
add(
    "a numpy scalar of objects",
    models.tensorflow(variables={"lod": call("numpy.core.multiarray.scalar", models.dtype("O", "|"), raw(bytes(8)))}),
)
add(
    "a numpy scalar of too few bytes",
    models.tensorflow(variables={"lod": call("numpy.core.multiarray.scalar", models.dtype("f8"), raw(bytes(3)))}),
)
add("a numpy scalar of no bytes", models.tensorflow(variables={"lod": call("numpy.core.multiarray.scalar", models.dtype("f8"))}))
add(
    "a numpy scalar of a text",
    models.tensorflow(variables={"lod": call("numpy.core.multiarray.scalar", text("f8"), raw(bytes(8)))}),
)
add(
    "a numpy type with a dict",
    models.tensorflow(variables={"lod": models.array([1], bytes(4), call("numpy.dtype", mapping(names=listed(text("a")))))}),
)
add(
    "a numpy type of a number",
    models.tensorflow(variables={"lod": models.array([1], bytes(4), call("numpy.dtype", long(1 << 100)))}),
)
add(
    "an array from a buffer",
    models.tensorflow(
        variables={
            "lod": call("numpy.core.numeric._frombuffer", raw(bytes(4)), models.dtype(), items(number(BILLION)), text("C"))
        }
    ),
)

# State dicts that hold what is no tensor.
for name, value in {
    "a text": text("os.system"),
    "a number": number(10**9),
    "nothing": NONE,
    "a list of numbers": listed(number(1)),
    "a name": named("torch.FloatStorage"),
    "a storage": storage(),
    "a tuple": EMPTY_TUPLE,
}.items():
    add(f"a state dict with {name}", in_zip(value))
    add(f"sgtool's own format with {name} for a tensor", own_format(value))
add(
    "an old torch file with an unknown storage",
    legacy(
        tensor(items(text("storage"), named("torch.FloatStorage"), text("1"), text("cpu"), number(4), NONE) + BINPERSID),
        ["0"],
        struct.pack("<q", 4) + bytes(16),
    ),
)
