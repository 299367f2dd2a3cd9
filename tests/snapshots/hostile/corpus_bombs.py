"""Files that are small and would become large, deep or slow."""

import struct

import models
from archives import legacy, nested, nested_storage, tensor, torch_zip
from corpus import add
from opcodes import (
    APPEND,
    DUP,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_SET,
    EMPTY_TUPLE,
    MARK,
    NONE,
    POP,
    REDUCE,
    SET_ITEMS,
    SETITEM,
    TRUE,
    again,
    built,
    call,
    items,
    keep,
    long,
    mapping,
    named,
    number,
    text,
    whole,
)

DEEP = 300_000


def deep(kind, depth=DEEP):
    """A value inside a value inside a value ..."""
    key = text("a")
    inner, outer = {
        "lists": (EMPTY_LIST, APPEND),
        "dicts": (EMPTY_DICT + key, SETITEM),
        "tuples": (b"", b"\x85"),
        "sets of tuples": (EMPTY_SET + MARK + MARK, b"t\x90"),
        "frozensets": (MARK, b"\x91"),
        "OrderedDicts": (named("collections.OrderedDict") + EMPTY_TUPLE + REDUCE + key, SETITEM),
        "persistent objects": (
            named("torch_utils.persistence._reconstruct_persistent_obj") + EMPTY_DICT + text("state"),
            SETITEM + b"\x85" + REDUCE,
        ),
        "parameters": (named("torch._utils._rebuild_parameter"), TRUE + EMPTY_DICT + b"\x87" + REDUCE),
    }[kind]
    return inner * depth + (NONE if kind != "parameters" else tensor(nested_storage())) + outer * depth


for kind in ("lists", "dicts", "tuples", "sets of tuples", "frozensets", "OrderedDicts", "persistent objects", "parameters"):
    depth = DEEP // 10 if kind in ("OrderedDicts", "persistent objects", "parameters") else DEEP
    add(f"{depth:,} {kind} in one another", lambda kind=kind, depth=depth: whole(deep(kind, depth)))
    add(
        f"{depth:,} {kind} in one another in a model",
        lambda kind=kind, depth=depth: models.nvidia(training_set_kwargs=mapping(path=deep(kind, depth))),
        harmless=kind == "parameters",
    )
for depth in (900, 5_000):
    add(f"{depth} tuples in one another as a key", lambda depth=depth: whole(mapping((deep("tuples", depth), NONE))))
    add(f"{depth} lists in one another in a model", lambda depth=depth: models.nvidia(G=deep("lists", depth)), harmless=True)
    add(
        f"{depth} dicts in one another among the options of a model",
        lambda depth=depth: models.nvidia(training_set_kwargs=mapping(path=deep("dicts", depth))),
        harmless=True,
    )


def streams(depth):
    """torch.save streams in one another."""
    value = nested_storage()
    for _ in range(depth):
        value = nested(legacy(value))
    return whole(tensor(value))


add("200 torch files in one another", lambda: streams(200))
add("20 torch files in one another", lambda: streams(20))


def modules(depth):
    """Modules in modules."""
    value = models.module("Leaf", mapping(weight=models.parameter(models.generator().state_dict()["synthesis.b4.const"])))
    for _ in range(depth):
        value = models.module("SynthesisNetwork", modules=mapping(b=value))
    return models.nvidia(G_ema=value)


add("2,000 modules in one another", lambda: modules(2000))


def laughs(levels=40, width=10):
    """Billion laughs: a list of ten references to a list of ten references ..."""
    value = keep(EMPTY_LIST + MARK + text("ha") * width + b"e", 0) + POP
    for i in range(1, levels):
        value += keep(EMPTY_LIST + MARK + again(i - 1) * width + b"e", i) + POP
    return value + again(levels - 1)


def laughing_dicts(levels=40):
    value = keep(mapping(a=text("ha")), 0) + POP
    for i in range(1, levels):
        value += keep(mapping(a=again(i - 1), b=again(i - 1), c=again(i - 1)), i) + POP
    return value + again(levels - 1)


def laughing_tuples(levels=60):
    value = keep(items(text("ha")), 0) + POP
    for i in range(1, levels):
        value += keep(items(again(i - 1), again(i - 1)), i) + POP
    return value + again(levels - 1)


def laughing_modules(levels=40):
    """Modules that share their parts: 2**40 tensors by name, one by number."""
    leaf = mapping(weight=models.parameter(models.generator().state_dict()["mapping.w_avg"]))
    value = keep(models.module("Leaf", leaf), 0) + POP
    for i in range(1, levels):
        value += keep(models.module("SynthesisNetwork", modules=mapping(a=again(i - 1), b=again(i - 1))), i) + POP
    return value + again(levels - 1)


add("billion laughs", whole(laughs()))
add("billion laughs in a model's options", models.nvidia(training_set_kwargs=mapping(path=laughs())), harmless=True)
add("billion laughs of dicts in a model's options", models.nvidia(training_set_kwargs=laughing_dicts()), harmless=True)
add("billion laughs in constructor keywords", models.nvidia(keywords=laughing_dicts()))
add("billion laughs in a torch file", torch_zip(mapping(g_ema=laughing_dicts())))
add("billion laughs in a shape", models.nvidia({"synthesis.b4.const": laughing_tuples()}))
add("billion laughs in a key", whole(mapping((laughing_tuples(), NONE))))
add("billion laughs of modules", models.nvidia(G_ema=laughing_modules()))
add("billion laughs of TensorFlow components", lambda: whole(laughing_components()))


def laughing_components(levels=40):
    value = keep(models.network("N", "G_main", EMPTY_DICT), 0) + POP
    for i in range(1, levels):
        value += keep(models.network("N", "G_main", EMPTY_DICT, components=mapping(a=again(i - 1), b=again(i - 1))), i) + POP
    return value + again(levels - 1)


# Values that contain themselves.
def circle(value, put):
    return keep(value, 500) + put(again(500))


OWN_LIST = circle(EMPTY_LIST, lambda it: it + APPEND)
OWN_DICT = circle(EMPTY_DICT, lambda it: text("a") + it + SETITEM)
add("a list that contains itself", whole(OWN_LIST))
add("a dict that contains itself", whole(OWN_DICT))
add("a model that contains itself", whole(circle(EMPTY_DICT, lambda it: text("G_ema") + it + SETITEM)))
add("options that contain themselves", models.nvidia(training_set_kwargs=OWN_DICT), harmless=True)
add("constructor keywords that contain themselves", models.nvidia(keywords=OWN_DICT))
add("a list in constructor keywords that contains itself", models.nvidia(keywords=mapping(z_dim=OWN_LIST)))
add("a state dict that contains itself", torch_zip(circle(EMPTY_DICT, lambda it: text("g_ema") + it + SETITEM)))


def own_module():
    modules = keep(EMPTY_DICT, 500)
    inner = models.module("SynthesisNetwork", modules=again(500))
    return models.nvidia(G_ema=modules + keep(inner, 501) + POP + text("b") + again(501) + SETITEM + POP + again(501))


def own_component():
    components = keep(EMPTY_DICT, 500)
    inner = models.network("G", "G_main", EMPTY_DICT, components=again(500))
    return whole(components + keep(inner, 501) + POP + text("mapping") + again(501) + SETITEM + POP + again(501))


add("a module that contains itself", own_module)
add("a TensorFlow network that contains itself", own_component)
add("a persistent object whose state is itself", whole(circle(EMPTY_DICT, lambda it: text("state") + it + SETITEM) + b"\x85"))

# A byte that becomes many.
for name, opcode in {"dicts": EMPTY_DICT, "lists": EMPTY_LIST, "sets": EMPTY_SET, "marks": MARK}.items():
    add(f"20 million {name}", lambda opcode=opcode: b"\x80\x04" + MARK + opcode * 20_000_000 + b"t.")
add("20 million nothings", lambda: b"\x80\x04" + MARK + NONE * 20_000_000 + b"t.")
add("20 million copies of the top", lambda: b"\x80\x04" + MARK + EMPTY_LIST + DUP * 20_000_000 + b"t.")
add("10 million things remembered", lambda: b"\x80\x04N" + b"\x94" * 10_000_000 + b".")
add("10 million lists that are thrown away", lambda: b"\x80\x04N" + (EMPTY_LIST + POP) * 10_000_000 + b".")
add("5 million numbers", lambda: whole(MARK + b"M\xff\x7f" * 5_000_000 + b"t"))
add(
    "3 million storages", lambda: whole(MARK + named("collections.OrderedDict") + (DUP + EMPTY_TUPLE + REDUCE) * 3_000_000 + b"t")
)
add("a million texts", lambda: whole(MARK + b"\x8c\x01a" * 3_000_000 + b"t"))
add("a million marks and pops", lambda: b"\x80\x04N" + MARK * 5_000_000 + b"1" * 5_000_000 + b".")
add("20 million dicts in a torch file", lambda: torch_zip(MARK + EMPTY_DICT * 20_000_000 + b"t"))
add("20 million dicts in a storage", lambda: whole(nested(legacy(MARK + EMPTY_DICT * 20_000_000 + b"t"))))
add(
    "10 million tensors of one storage",
    lambda: whole(keep(tensor(nested_storage()), 0) + POP + MARK + again(0) * 5_000_000 + b"t"),
)
add("the same large text in a tuple of tuples", lambda: whole(keep(text("a" * 10_000_000), 0) + b"h\x00\x86" * 1000))

# Keys whose hash is the same: a table of them takes the square of their number.
PRIME = 2**61 - 1


def same_hashes(count):
    return MARK + b"".join(long(PRIME * i) + NONE for i in range(1, count)) + SET_ITEMS


def same_hashes_in_tuples(count):
    return MARK + b"".join(long(PRIME * i) + b"\x85" for i in range(1, count)) + b"\x90"


add("30,000 keys of one hash", lambda: whole(EMPTY_DICT + same_hashes(30_000)))
add("30,000 tuples of one hash", lambda: whole(EMPTY_SET + same_hashes_in_tuples(30_000)))
add(
    "30,000 keys of one hash in an OrderedDict",
    lambda: whole(named("collections.OrderedDict") + EMPTY_TUPLE + REDUCE + same_hashes(30_000)),
)
add(
    "30,000 keys of one hash in pairs",
    lambda: whole(call("collections.OrderedDict", items(*(items(long(PRIME * i), NONE) for i in range(1, 30_000))))),
)

# Calls that ask for memory.
for name, arguments in {
    "builtins.bytearray": [number(2**31 - 1)],
    "builtins.bytes": [number(2**31 - 1)],
    "builtins.list": [call("builtins.range", number(2**31 - 1))],
    "builtins.set": [text("ab" * 100)],
    "builtins.complex": [text("1" * 10_000)],
    "numpy.ndarray": [items(number(2**31 - 1), number(2**31 - 1))],
    "numpy.zeros": [number(2**31 - 1)],
    "torch.empty": [number(2**31 - 1)],
    "torch.FloatStorage": [number(2**31 - 1)],
    "torch.Size": [items(number(2**31 - 1))],
    "builtins.range": [number(2**31 - 1)],
    "collections.deque": [number(2**31 - 1)],
}.items():
    add(
        f"memory by {name}",
        lambda name=name, arguments=arguments: models.nvidia(G=call(name, *arguments)),
        harmless=name == "torch.Size",
    )
add(
    "an array to be made with a billion numbers",
    whole(call("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), items(number(10**9)), text("f8"))),
)
add("a storage of a billion numbers", whole(nested(legacy(call("torch.FloatStorage", number(10**9))))))
add("text multiplied", whole(built(text("a"), number(10**9))))
add("a shape that is a number of a thousand bytes", whole(tensor(nested_storage(), 0, (1 << 8000,), (1,))))
add("the same storage many times", lambda: models.nvidia(G=MARK + struct.pack("<B", 0x29) * 1000 + b"t"), harmless=True)
