"""Files that ask for a name: a function, a class or a module that a careless program would import and call."""

import models
from archives import legacy, nested, nested_storage, storage, tensor, torch_zip
from corpus import MARKER, add
from opcodes import (
    EMPTY_DICT,
    EMPTY_TUPLE,
    NEWOBJ,
    NONE,
    REDUCE,
    built,
    call,
    called,
    items,
    listed,
    mapping,
    named,
    named_on_stack,
    number,
    text,
    whole,
)

PAYLOAD = call("os.mkdir", text(MARKER))

# Where a value can hide, with a name for each place.
SHELLS = {
    "a pickle": whole,
    "a pickle of protocol 0": lambda value: whole(value, 0),
    "a pickle of protocol 2": lambda value: whole(value, 2),
    "a pickle of protocol 5": lambda value: whole(value, 5),
    "the place of G": lambda value: models.nvidia(G=value),
    "training options": lambda value: models.nvidia(training_set_kwargs=mapping(class_name=value)),
    "constructor keywords": lambda value: models.nvidia(keywords=mapping(z_dim=value)),
    "the place of a tensor": lambda value: models.nvidia({"synthesis.b4.const": value}),
    "the hooks of a parameter": lambda value: models.nvidia({"synthesis.b4.const": hooked(value)}),
    "a key of a dict": lambda value: whole(mapping((value, NONE))),
    "a tuple that is a key": lambda value: whole(mapping((items(text("a"), value), NONE))),
    "what is thrown away": lambda value: whole(value + b"0" + mapping(G_ema=NONE)),
    "the class of a persistent object": lambda value: whole(call("torch_utils.persistence._reconstruct_persistent_obj", value)),
    "an argument of OrderedDict": lambda value: whole(call("collections.OrderedDict", listed(items(text("a"), value)))),
    "the state of an array": lambda value: models.tensorflow(variables={"lod": models.array([1], [value])}),
    "the type of an array": lambda value: models.tensorflow(variables={"lod": models.array([1], bytes(4), value)}),
    "TensorFlow's arguments": lambda value: models.tensorflow(static=mapping(resolution=value)),
    "TensorFlow's variables": lambda value: models.tensorflow(variables={"lod": value}),
    "a torch file": torch_zip,
    "a torch file's storage": lambda value: torch_zip(items(text("storage"), value, text("0"), text("cpu"), number(1)) + b"Q"),
    "a torch file's key": lambda value: torch_zip(items(text("storage"), named("torch.FloatStorage"), value) + b"Q"),
    "an old torch file": legacy,
    "an old torch file's system": lambda value: legacy(NONE, system=value),
    "an old torch file's keys": lambda value: legacy(NONE)[:-4] + whole(value, 2),
    "an old torch file's class": lambda value: legacy(items(text("module"), value, text("net.py"), text("import os")) + b"Q"),
    "a storage in a pickle": lambda value: whole(nested(legacy(value))),
    "a storage in a storage": lambda value: whole(nested(legacy(nested(legacy(nested(whole(value))))))),
    "a zip file in a pickle": lambda value: whole(nested(torch_zip(value))),
}


def hooked(value):
    return tensor(nested_storage(), 0, (4,), (1,))[:-2] + value + b"tR"


for place, shell in SHELLS.items():
    hidden = place in ("a storage in a storage", "a zip file in a pickle")  # what no model has is refused before it is looked at
    add(f"os.mkdir in {place}", lambda shell=shell: shell(PAYLOAD), *([] if hidden else ["os.mkdir"]))

COMMAND = f"mkdir {MARKER}"
CODE = f"__import__('os').mkdir({MARKER!r})"
GROUPS = [  # arguments, and who would get them
    ([COMMAND], "os.system posix.system nt.system os.popen commands.getoutput subprocess.getoutput pty.spawn"),
    ([["mkdir", MARKER]], "subprocess.Popen subprocess.check_output subprocess.call"),
    (["/bin/mkdir", ["mkdir", MARKER]], "os.execv os.posix_spawnp os.spawnv"),
    (["/bin/mkdir", ["mkdir", MARKER], {}], "os.posix_spawn"),
    (["nothing-there"], "os.remove os.rmdir os.chdir os.putenv os.mkfifo shutil.rmtree os._exit sys.exit"),
    ([CODE], "builtins.eval builtins.exec __builtin__.eval __builtin__.execfile timeit.timeit cProfile.run profile.run"),
    ([CODE], "pdb.run bdb.Bdb.run doctest.debug_script numpy.testing._private.utils.runstring"),
    ([CODE, "", "exec"], "builtins.compile"),
    ([MARKER, "w"], "builtins.open io.open _io.open codecs.open _io.FileIO builtins.file"),
    (["this"], "builtins.__import__ importlib.import_module importlib.__import__ __builtin__.__import__ pydoc.locate"),
    (["this"], "runpy.run_module runpy.run_path imp.load_source zipimport.zipimporter"),
    (["http://127.0.0.1:9/"], "webbrowser.open urllib.request.urlopen urllib2.urlopen requests.get dnnlib.util.open_url"),
    (["libc.so.6"], "ctypes.CDLL _ctypes.dlopen torch.ops.load_library numpy.ctypeslib.load_library"),
    (["/etc/passwd"], "numpy.load numpy.fromfile numpy.memmap numpy.loadtxt numpy.core.multiarray.fromfile"),
    (["/etc/passwd"], "numpy.f2py.crackfortran.getlincoef numpy.f2py.compile numpy.lib.npyio.load"),
    (["model.pkl"], "torch.load torch.jit.load torch.serialization.load torch.hub.load torch.package.PackageImporter"),
    (["model.pkl"], "torch.hub.load_state_dict_from_url torch.utils.model_zoo.load_url torch.classes.load_library"),
    (["model.pkl"], "torch.utils.cpp_extension.load torch._inductor.codecache.PyCodeCache.load torch.compile"),
    (["model.pkl"], "torch._dynamo.optimize torch.fx.graph_module.reduce_graph_module torch.storage.io.open"),
    (["model.pkl"], "torch.save torch.Tensor torch.from_file torch.nn.Module torch._C.import_ir_module"),
    ([b"c"], "pickle.loads _pickle.loads marshal.loads joblib.load dill.loads shelve.open cloudpickle.loads"),
    (["os.mkdir"], "functools.partial functools.reduce builtins.map builtins.filter itertools.starmap"),
    (["os.system"], "torch_utils.custom_ops.get_plugin dnnlib.util.call_func_by_name dnnlib.util.get_obj_by_name"),
    (["os.system"], "dnnlib.util.construct_class_by_name dnnlib.tflib.init_tf"),
    (["system"], "operator.attrgetter operator.methodcaller operator.itemgetter _operator.attrgetter"),
    (["a", "b"], "builtins.getattr builtins.setattr builtins.delattr builtins.type builtins.super"),
    ([], "builtins.globals builtins.vars builtins.breakpoint builtins.input builtins.print os.fork os.abort"),
    ([], "types.FunctionType types.CodeType types.ModuleType types.MethodType types.new_class"),
    ([2], "sys.modules sys.path sys.setrecursionlimit gc.get_objects inspect.stack signal.raise_signal"),
    ([b"127.0.0.1"], "socket.create_connection socket.socket http.client.HTTPConnection smtplib.SMTP socket.gethostbyname"),
    ([], "copyreg.add_extension copyreg.pickle copyreg.constructor weakref.finalize atexit.register"),
    ([CODE], "torch_utils.persistence._src_to_module torch_utils.persistence.import_hook"),
    ([], "training.networks.Generator model.Generator __main__.Payload sgtool.cli.main sgtool.files.atomic_write"),
    ([], "a_module_that_does_not_exist.f logging.config.fileConfig multiprocessing.util.spawnv_passfds"),
]
NAMES = {name: arguments for arguments, names in GROUPS for name in names.split()}

for name, arguments in NAMES.items():
    opcodes = [models.value(argument) for argument in arguments]
    add(f"calls {name}", lambda name=name, opcodes=opcodes: whole(call(name, *opcodes)), name)
    bare = name in ("torch.Tensor", "builtins.type")  # values of honest files, which cannot be called
    add(
        f"only names {name}",
        lambda name=name: models.nvidia(training_set_kwargs=mapping(path=named(name))),
        name,
        harmless=bare,
    )

# A name on the stack may have dots: attribute after attribute of something that is allowed.
WALKS = [
    ("collections", "OrderedDict.__init__.__globals__"),
    ("collections", "OrderedDict.fromkeys"),
    ("collections", "_sys.modules"),
    ("torch._utils", "os.system"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("torch.storage", "io.open"),
    ("torch.storage", "_load_from_bytes.__globals__"),
    ("torch", "FloatStorage.__new__"),
    ("torch", "os.system"),
    ("torch", "serialization.os.system"),
    ("numpy", "ndarray.tofile"),
    ("numpy", "ndarray.__reduce__"),
    ("numpy.core.multiarray", "_reconstruct.__class__"),
    ("dnnlib.util", "EasyDict.__class__"),
    ("dnnlib.util", "EasyDict.__init__.__globals__"),
    ("torch_utils.persistence", "_reconstruct_persistent_obj.__globals__"),
    ("builtins", "object.__subclasses__"),
    ("builtins", "dict.__class__.__mro__"),
    ("builtins", "set.__init__"),
    ("", "os.system"),
    ("os", "system.__call__"),
    ("os.path", "os.system"),
    ("argparse", "Namespace.__init__"),
    ("argparse", "_sys.exit"),
    ("_codecs", "encode.__self__"),
    ("os system", "x"),
    ("torch_utils.persistence _reconstruct_persistent_obj", ""),
]
for module, name in WALKS:
    add(f"walks from {module!r} to {name}", whole(called(named_on_stack(module, name), text("id"))), name.split(".")[-1])
add("walks with a name in one line", whole(call("collections.OrderedDict.__init__", NONE)), "collections.OrderedDict.__init__")
add(
    "a walk that only names", models.nvidia(training_set_kwargs=named_on_stack("numpy", "ndarray.tofile")), "numpy.ndarray.tofile"
)


# Words that a terminal would obey, or that would hide what is meant.
def words(name):
    return whole(named_on_stack("os", name) + text("id") + b"\x85" + REDUCE)


add("a name that clears the terminal", words("system\x1b[2J\x1b[31m"), "\\x1b[2J")
add("a name that sets the window's title", words("system\x1b]0;all is well\x07"), "\\x1b]0;")
add("a name that goes back over the line", words("system\rAll is well."), "\\r")
add("a name with a line of its own", words("system\nAll is well."), "\\n")
add("a name that turns the direction of writing", words("system\u202emetsys"), "\\u202e")
add("a name with a zero in it", words("sys\0tem"), "\\x00")
add("a name of half a letter", words("system\ud800"), "os.system")
add("a name of a million letters", words("a" * 1_000_000), "whose name is no text")
add("a name in a line that never ends", b"\x80\x02cos\nsystem" + b"a" * 1_000_000, "damaged")
add("a module with control characters in a line", b"\x80\x02c\x1b[2J\nsystem\n.", "\\x1b[2J")
add("a name in bytes that are no text", b"\x80\x02cos\nsys\xff\xfetem\n.")
add("a class with control characters", models.nvidia(G=models.persistent("Gene\x1b[2Jrator", EMPTY_DICT)), harmless=True)
add("keys with control characters", whole(mapping((text("\x1b[2J\x07a"), NONE))), "\\x1b[2J")
add("an argument with control characters", models.tensorflow(mapping((text("fmap\x1b[2J"), number(1)))), "\\x1b[2J")


# Source text that comes with a model is only text.
def module_source(source):
    state = mapping(_parameters=EMPTY_DICT, _buffers=EMPTY_DICT, _modules=EMPTY_DICT, _init_args=EMPTY_TUPLE)
    return whole(mapping(G_ema=models.persistent("Generator", state, source)))


add("a persistent object whose program would run", module_source(models.SOURCE))
add("a persistent object of a program of 50 MB", lambda: module_source("#" * 50_000_000))
add("a TensorFlow network whose program would run", lambda: models.tensorflow(source=models.SOURCE), harmless=True)
add("a TensorFlow program of 50 MB", lambda: models.tensorflow(source="#" * 50_000_000), harmless=True)
add("a TensorFlow function called os.system", whole(models.network("G", "os.system", EMPTY_DICT)), "os.system")
add(
    "a hook into a persistent object's import",
    whole(call("torch_utils.persistence._reconstruct_persistent_obj", mapping(type=text("hook")))),
)
add(
    "a reconstructor of another class",
    whole(call("copyreg._reconstructor", named("os.system"), named("builtins.object"), NONE)),
    "os.system",
)
add(
    "a reconstructor of python 2",
    whole(call("copy_reg._reconstructor", named("os.system"), named("__builtin__.object"), NONE)),
    "os.system",
)
add("text that is encoded by os.system", whole(call("_codecs.encode", text("id"), named("os.system"))), "os.system")
add("text that is encoded by a codec that decompresses", whole(call("_codecs.encode", text("id"), text("zlib"))))
add("a defaultdict that calls", whole(call("collections.defaultdict", named("os.getcwd"))), "os.getcwd")
add(
    "a torch file of a whole program",
    torch_zip(built(named("model.Generator") + EMPTY_TUPLE + NEWOBJ, mapping(training=NONE))),
    "model.Generator",
)
add(
    "a wrapper subclass of tensors",
    torch_zip(call("torch._tensor._rebuild_from_type_v2", named("os.system"), NONE, NONE, NONE)),
    "asks for",
)
add("a sparse tensor", torch_zip(call("torch._utils._rebuild_sparse_tensor", named("torch.sparse_coo"), NONE)), "sparse")
add("a quantized tensor", torch_zip(call("torch._utils._rebuild_qtensor", storage(), number(0))), "_rebuild_qtensor")
add(
    "a tensor by device",
    torch_zip(call("torch._utils._rebuild_device_tensor_from_numpy", NONE)),
    "_rebuild_device_tensor_from_numpy",
)
