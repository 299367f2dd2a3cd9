"""The closed list of what a pickle may ask for, and what it gets: plain values, descriptions of tensors, inert stand-ins."""

import torch

from sgtool.snapshots import rebuild
from sgtool.snapshots.inert import Inert, Maker
from sgtool.snapshots.legacy import StorageType, storage_in, storage_types
from sgtool.snapshots.literals import LongText
from sgtool.snapshots.spans import Refused, Span, damaged

STORAGES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
DTYPES = """
float32 float float64 double float16 half bfloat16 int64 long int32 int int16 short int8 uint8 uint16 uint32 uint64 bool
complex64 cfloat complex128 cdouble float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz
"""
BARE = {  # names that may be mentioned
    "builtins": "int float str bool",
    "torch": "Tensor",
    "numpy": "ndarray bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128",
    "torch.nn.parameter": "Parameter Buffer",
}
OBJECTS = {  # classes that become an `Inert` with their attributes
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "datetime": "datetime date time timedelta timezone",
    "builtins": "object",
    "torch": "device",
    "torch.optim.adam": "Adam",
    "torch.optim.adamw": "AdamW",
    "torch.optim.adamax": "Adamax",
    "torch.optim.adagrad": "Adagrad",
    "torch.optim.adadelta": "Adadelta",
    "torch.optim.nadam": "NAdam",
    "torch.optim.radam": "RAdam",
    "torch.optim.rmsprop": "RMSprop",
    "torch.optim.rprop": "Rprop",
    "torch.optim.asgd": "ASGD",
    "torch.optim.sgd": "SGD",
    "torch.optim.lbfgs": "LBFGS",
    "torch.optim.lr_scheduler": (
        "LambdaLR StepLR MultiStepLR ExponentialLR CosineAnnealingLR ReduceLROnPlateau CyclicLR OneCycleLR"
    ),
    "torch.nn.modules.module": "Module",
    "torch.nn.modules.container": "Sequential ModuleList ModuleDict ParameterList ParameterDict",
    "torch.nn.modules.linear": "Linear Identity Bilinear",
    "torch.nn.modules.conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "torch.nn.modules.batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
    "torch.nn.modules.normalization": "GroupNorm LayerNorm LocalResponseNorm",
    "torch.nn.modules.instancenorm": "InstanceNorm1d InstanceNorm2d",
    "torch.nn.modules.activation": (
        "ReLU ReLU6 LeakyReLU PReLU ELU SELU GELU SiLU Sigmoid Tanh Softmax Softplus Hardswish Hardsigmoid Hardtanh GLU Mish "
        "MultiheadAttention"
    ),
    "torch.nn.modules.pooling": "AvgPool2d MaxPool2d AdaptiveAvgPool2d AdaptiveMaxPool2d",
    "torch.nn.modules.upsampling": "Upsample UpsamplingNearest2d UpsamplingBilinear2d",
    "torch.nn.modules.padding": "ZeroPad2d ConstantPad2d ReflectionPad2d ReplicationPad2d",
    "torch.nn.modules.pixelshuffle": "PixelShuffle PixelUnshuffle",
    "torch.nn.modules.dropout": "Dropout Dropout2d",
    "torch.nn.modules.flatten": "Flatten Unflatten",
    "torch.nn.modules.sparse": "Embedding",
    "torch.nn.parallel.data_parallel": "DataParallel",
    "torch.nn.parallel.distributed": "DistributedDataParallel",
    "torch.nn.utils.spectral_norm": "SpectralNorm",
}
TENSORFLOW = ("dnnlib.tflib.network", "dnnlib.tflib", "tfutil", "network", "dnnlib.tfutil")
MOST_PARTS = 64  # of a path


# --- makers -----------------------------------------------------------------------------------------------------------------


def _persistent(machine, meta):
    """torch_utils.persistence._reconstruct_persistent_obj: its source text is not looked at."""
    if type(meta) is not dict or meta.get("type") != "class" or type(meta.get("class_name")) is not str:
        raise damaged("a persistent object of it is not described")
    state = meta.get("state")
    return Inert("persistent", meta["class_name"]).built(machine, {} if state is None else state)


def _inert(kind, name):
    def make(machine, *arguments):
        return Inert(kind, name, {"args": arguments} if arguments else {})

    return Maker(name, make, 0, 16)


def _values(machine, values):
    if type(values) not in (list, tuple, set, frozenset, dict):
        raise damaged("it makes a list of something that has no parts")
    machine.budget.spend(len(values))
    return values


def _list(machine, values=(), *length):
    return list(_values(machine, values))


def _tuple(machine, values=()):
    return tuple(_values(machine, values))


def _set(machine, values=()):
    return {machine.key(value) for value in _values(machine, values)}


def _frozenset(machine, values=()):
    return frozenset(_set(machine, values))


def _dict(machine, values=()):
    if type(values) is dict:
        return dict(_values(machine, values))
    pairs = [pair for pair in _values(machine, values) if type(pair) in (list, tuple) and len(pair) == 2]
    if len(pairs) != len(values):
        raise damaged("it makes a dict of something that is not pairs")
    return {machine.key(key): value for key, value in pairs}


def _default_dict(machine, factory=None, values=()):
    return _dict(machine, values)


def _bytes(machine, text="", encoding="latin1"):
    """_codecs.encode, bytes and bytearray, which stand for bytes in protocols that have no opcode for them."""
    if isinstance(text, (bytes, bytearray, Span)):
        return text
    if isinstance(text, LongText) and encoding in ("latin1", "latin-1"):
        return text.latin1()
    if type(text) is not str or encoding not in ("latin1", "latin-1", "iso-8859-1", "utf-8", "utf8", "ascii"):
        raise Refused("asks to make bytes of something that is no text, and is not opened.")
    machine.budget.spend(len(text) >> 4)
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise damaged("it has text where bytes should be") from error


def _bytearray(machine, text="", encoding="latin1"):
    data = _bytes(machine, text, encoding)
    machine.budget.spend(len(data) >> 4)
    return data if isinstance(data, Span) else bytearray(data)


def _complex(machine, real, imaginary=0):
    if not all(type(part) is float or (type(part) is int and abs(part) < 2**1000) for part in (real, imaginary)):
        raise damaged("a number of it is not a number")
    return complex(real, imaginary)


def _path(machine, *parts):
    if not all(type(part) is str for part in parts):
        raise damaged("a path of it is no text")
    machine.budget.spend(sum(map(len, parts)) >> 4)
    return "/".join(parts).replace("//", "/", 1)


def _old_object(machine, kind, base, state):
    """copyreg._reconstructor: an object in protocols 0 and 1, of a class that is listed itself."""
    if type(kind) is not Maker or getattr(base, "name", "") not in ("builtins.object", "builtins.dict", "builtins.list"):
        raise Refused("asks to make an object of a class that no model has, and is not opened: it could run code.")
    return kind.call(machine, () if state is None or base.name == "builtins.object" else (state,))


def _copied_object(machine, kind, *arguments):
    """copyreg.__newobj__."""
    if type(kind) is not Maker:
        raise Refused("asks to make an object of something that is no class, and is not opened: it could run code.")
    return kind.call(machine, arguments)


def _numpy_type(code):
    return lambda machine: rebuild.dtype(machine, code)


# --- the list ---------------------------------------------------------------------------------------------------------------


def _tensors():
    """Names with which torch puts tensors together."""
    makers = [
        Maker("torch._utils._rebuild_tensor", rebuild.tensor, 4, 4),
        Maker("torch._utils._rebuild_tensor_v2", rebuild.tensor, 6, 7),
        Maker("torch._utils._rebuild_tensor_v3", rebuild.typed_tensor, 7, 8),
        Maker("torch._utils._rebuild_parameter", rebuild.parameter, 3, 3),
        Maker("torch._utils._rebuild_parameter_with_state", rebuild.parameter, 4, 4),
    ]
    listed = {" ".join(maker.name.rsplit(".", 1)): maker for maker in makers}
    listed |= storage_types(STORAGES)
    for name in ("UntypedStorage", "_UntypedStorage"):
        listed[f"torch.storage {name}"] = StorageType(f"torch.storage.{name}", torch.uint8)
    return listed | {f"torch {name}": getattr(torch, name) for name in DTYPES.split() if hasattr(torch, name)}


def _plain():
    """Names with which plain values are written where there is no opcode for them."""
    return {
        "collections OrderedDict": Maker("collections.OrderedDict", _dict, 0, 1),
        "_codecs encode": Maker("_codecs.encode", _bytes, 1, 2),
    }


def _everything():
    listed = _tensors() | _plain()

    def add(name, make, least=0, most=0):
        module, _, last = name.rpartition(".")
        listed[f"{module} {last}"] = Maker(name, make, least, most)

    for module, names in BARE.items():
        for name in names.split():
            add(f"{module}.{name}", None)
    for module, names in OBJECTS.items():
        for name in names.split():
            listed[f"{module} {name}"] = _inert("object", f"{module}.{name}")
    for module in TENSORFLOW:
        listed[f"{module} Network"] = _inert("tf", f"{module}.Network")
    for name, make in (("list", _list), ("tuple", _tuple), ("set", _set), ("frozenset", _frozenset), ("dict", _dict)):
        add(f"builtins.{name}", make, 0, 1)
    for name, make in (("bytes", _bytes), ("bytearray", _bytearray)):
        add(f"builtins.{name}", make, 0, 2)
    add("builtins.complex", _complex, 1, 2)
    add("collections.defaultdict", _default_dict, 0, 2)
    add("collections.Counter", _dict, 0, 1)
    add("collections.deque", _list, 0, 2)
    add("dnnlib.util.EasyDict", _dict, 0, 1)
    add("dnnlib.EasyDict", _dict, 0, 1)
    for module in ("pathlib", "pathlib._local"):
        for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"):
            add(f"{module}.{name}", _path, 0, MOST_PARTS)
    for module in ("copyreg", "copy_reg"):
        add(f"{module}._reconstructor", _old_object, 3, 3)
        add(f"{module}.__newobj__", _copied_object, 1, 16)
    add("torch_utils.persistence._reconstruct_persistent_obj", _persistent, 1, 1)
    add("torch.storage._load_from_bytes", storage_in, 1, 1)
    add("torch.Size", rebuild.size, 0, 1)
    add("torch._utils._rebuild_device_tensor_from_numpy", rebuild.device_tensor, 4, 4)
    add("torch._tensor._rebuild_from_type_v2", rebuild.tensor_with_attributes, 4, 4)
    _add_numpy(add)
    listed |= {f"__builtin__ {key[9:]}": value for key, value in listed.items() if key.startswith("builtins ")}
    return listed


def _add_numpy(add):
    add("numpy.dtype", rebuild.dtype, 1, 4)
    for core in ("numpy.core", "numpy._core"):
        add(f"{core}.multiarray._reconstruct", rebuild.array, 3, 3)
        add(f"{core}.multiarray.scalar", rebuild.number, 2, 2)
        add(f"{core}.numeric._frombuffer", rebuild.array_of_buffer, 4, 4)
        add(f"{core}.multiarray.ndarray", None)
    for code, (_, _) in rebuild.TYPES.items():
        kind = {"b": "Bool", "i": "Int", "u": "UInt", "f": "Float", "c": "Complex"}[code[0]]
        bits = "" if code == "b1" else str(8 * int(code[1:]))
        add(f"numpy.dtypes.{kind}{bits}DType", _numpy_type(code))


PLAIN = _tensors() | _plain()  # what sgtool's own files ask for
VOCABULARY = _everything()
