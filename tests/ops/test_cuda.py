"""Compiling, caching and launching CUDA kernels, and every reason why they might not run: all of it without a GPU."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sgtool.errors import UserError
from sgtool.ops import bias_act, choice, cubins, cuda, nvrtc, setup_filter, upfirdn2d

HERE = Path(__file__).parent
SCALE = """
#include "factor.cuh"
template <typename T> __global__ void scale(T* y, const T* x, float a, long long n) {
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = T(FACTOR * a * float(x[i]));
}
"""
DOUBLE = ("scale.cu", "scale<double>", "sm_90")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder with one small kernel and a header, in the place of ops/kernels, and an empty cache."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "scale.cu").write_text(SCALE)
    (folder / "factor.cuh").write_text("#define FACTOR 1.0f\n")
    monkeypatch.setattr(nvrtc, "SOURCES", folder)
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    cubins.say_once.cache_clear()
    yield folder
    cubins.say_once.cache_clear()


def cached(tmp_path):
    return sorted((tmp_path / "cache/kernels").iterdir())


# Compiling


def test_one_program_gives_machine_code_for_several_kernels(sources):
    kernels = ["scale<float>", "scale<double>"]
    for arch, number in (("sm_75", 75), ("sm_120", 120)):
        cubin, names = nvrtc.compile_cubin(nvrtc.source_text("scale.cu"), kernels, arch)
        assert cubin[:4] == b"\x7fELF"
        assert list(names) == kernels
        for name in names.values():
            assert name.encode() in cubin
        flags = int.from_bytes(cubin[48:52], "little")  # of an ELF file: the architecture, in this or the next byte
        assert number in (flags & 0xFF, flags >> 8 & 0xFF)


def test_a_mistake_in_a_kernel_is_shown_with_the_compilers_words(sources):
    with pytest.raises(RuntimeError, match=r"(?s)could not compile scale<int4> for sm_90.*error"):
        nvrtc.compile_cubin(nvrtc.source_text("scale.cu"), ["scale<int4>"], "sm_90")


@pytest.mark.parametrize(
    ("capability", "arch"),
    [((7, 5), "sm_75"), ((8, 6), "sm_86"), ((9, 0), "sm_90"), ((9, 9), "sm_90"), ((7, 0), None), ((99, 0), None)],
)
def test_the_architecture_is_the_newest_that_runs_on_the_gpu(capability, arch):
    assert nvrtc.best_arch(capability) == arch


# The cache


def test_a_kernel_is_compiled_once_and_then_read(sources, tmp_path, monkeypatch):
    first = cubins.load_or_compile(*DOUBLE)
    assert len(cached(tmp_path)) == 1
    monkeypatch.setattr(nvrtc, "compile_cubin", None)
    assert cubins.load_or_compile(*DOUBLE) == first


def test_everything_that_decides_the_code_is_in_the_key(sources, monkeypatch):
    keys = [cubins._key(*DOUBLE), cubins._key("scale.cu", "scale<float>", "sm_90"), cubins._key(*DOUBLE[:2], "sm_86")]
    for name, value in (("STANDARD", "c++20"), ("version", lambda: (12, 9))):
        with monkeypatch.context() as patch:
            patch.setattr(nvrtc, name, value)
            keys.append(cubins._key(*DOUBLE))
    for file in ("factor.cuh", "scale.cu"):
        (sources / file).write_text((sources / file).read_text() + "\n")
        nvrtc._read.cache_clear()
        nvrtc._digest.cache_clear()
        keys.append(cubins._key(*DOUBLE))
    assert len(set(keys)) == len(keys) == 7


DAMAGES = {
    "cut in half": lambda content, other: content[: len(content) // 2],
    "a flipped bit": lambda content, other: content[:-9] + bytes([content[-9] ^ 4]) + content[-8:],
    "empty": lambda content, other: b"",
    "other things": lambda content, other: b"\x00not a kernel\n\n",
    "another version": lambda content, other: content.replace(b"sgtool kernel 1 ", b"sgtool kernel 0 "),
    "another kernel": lambda content, other: other,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_compiled_and_written_again(damage, sources, tmp_path, capfd):
    cubins.load_or_compile("scale.cu", "scale<float>", "sm_90")
    (other,) = cached(tmp_path)
    other_content = other.read_bytes()
    right = cubins.load_or_compile(*DOUBLE)
    (path,) = set(cached(tmp_path)) - {other}
    content = path.read_bytes()
    path.write_bytes(damage(content, other_content))
    assert cubins.load_or_compile(*DOUBLE) == right
    assert path.read_bytes() == content
    said = capfd.readouterr().err.splitlines()
    if damage is DAMAGES["another kernel"]:
        assert said == []  # whole, but not what its name says
    else:
        assert len(said) == 1
        assert str(path) in said[0]


def test_a_cache_that_cannot_be_written_is_one_line_and_no_obstacle(sources, tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "file"))
    for kernel in ("scale<double>", "scale<float>"):
        assert cubins.load_or_compile("scale.cu", kernel, "sm_90")[0][:4] == b"\x7fELF"
    (line,) = capfd.readouterr().err.splitlines()
    assert str(tmp_path / "file/kernels") in line
    assert "SGTOOL_CACHE=/path" in line


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
@pytest.mark.parametrize("whose", ["another user's", "everybody's"])
def test_machine_code_that_others_could_have_written_is_not_used(whose, sources, tmp_path, monkeypatch, capfd):
    right = cubins.load_or_compile(*DOUBLE)
    (path,) = cached(tmp_path)
    if whose == "everybody's":
        path.chmod(0o666)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
        monkeypatch.setattr(cubins, "ROOT", -1)
    compiled = []
    compile_cubin = nvrtc.compile_cubin
    monkeypatch.setattr(nvrtc, "compile_cubin", lambda *given: compiled.append(given) or compile_cubin(*given))
    assert cubins.load_or_compile(*DOUBLE) == right
    assert len(compiled) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert str(path) in line
    assert "SGTOOL_CACHE=/path" in line


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
def test_what_is_kept_cannot_be_changed_by_others_whatever_the_umask(sources, tmp_path, capfd):
    before = os.umask(0)
    try:
        first = cubins.load_or_compile(*DOUBLE)
    finally:
        os.umask(before)
    (path,) = cached(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o644
    assert cubins.load_or_compile(*DOUBLE) == first
    assert capfd.readouterr().err == ""


def test_the_cache_lies_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("SGTOOL_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cubins.cache_folder() == Path("/a/kernels")
    monkeypatch.delenv("SGTOOL_CACHE")
    assert cubins.cache_folder() == Path("/b/sgtool/kernels")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cubins.cache_folder() == Path("/home/someone/.cache/sgtool/kernels")


# Without the rest of the package, which would import torch eight times.
COMPILE_AT_ONCE = """
import hashlib, sys, time, types
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import sgtool
sys.modules["sgtool.ops"] = package = types.ModuleType("sgtool.ops")
package.__path__ = [str(Path(sgtool.__file__).parent / "ops")]
from sgtool.ops import cubins, nvrtc
nvrtc.SOURCES = Path(sys.argv[2])
print("ready", flush=True)
while not Path(sys.argv[3]).exists():
    time.sleep(0.001)
cubin, name = cubins.load_or_compile("scale.cu", "scale<double>", "sm_90")
print(hashlib.sha256(cubin).hexdigest(), name)
"""


def test_eight_processes_at_once_get_the_same_code_and_leave_one_file(sources, tmp_path):
    go = tmp_path / "go"
    command = [sys.executable, "-c", COMPILE_AT_ONCE, str(HERE.parents[1]), str(sources), str(go)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        go.touch()
        answers = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert len(set(answers)) == 1
    assert answers[0][1] == ""
    (path,) = cached(tmp_path)
    assert cubins._read(path, path.stem) == cubins.load_or_compile(*DOUBLE)


# Can the kernels run?


@pytest.fixture
def gpu(monkeypatch):
    """Everything that `unavailable` asks about, as on a machine where all is well; answers can be changed."""
    for known in (cuda._why_not, choice._kernels_ready, cubins.say_once):
        known.cache_clear()
    driver = SimpleNamespace(cuDriverGetVersion=lambda: (0, 13000))
    monkeypatch.delenv("SGTOOL_KERNELS", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(cuda, "_driver", lambda: driver)
    yield driver
    for known in (cuda._why_not, choice._kernels_ready, cubins.say_once):
        known.cache_clear()


def no_compiler():
    raise RuntimeError("libnvrtc.so.13 is not there.\nA second line")


TROUBLES = {
    "no CUDA in torch": ("torch.version.cuda", None, "This build of PyTorch has no CUDA"),
    "ROCm": ("torch.version.hip", "6.0", "is for ROCm"),
    "no GPU": ("torch.cuda.is_available", lambda: False, "finds no CUDA GPU; look at what nvidia-smi says"),
    "an old GPU": ("torch.cuda.get_device_capability", lambda index: (7, 0), "has compute capability 7.0; .* need 7.5 or newer"),
    "a new GPU": ("torch.cuda.get_device_capability", lambda index: (99, 0), r"99.0\) is newer than the compiler NVRTC"),
    "no NVRTC": (
        "sgtool.ops.nvrtc.version",
        no_compiler,
        r'NVRTC.*not found \(libnvrtc.so.13 is not there\); run: pip .*\[cu13\]"',
    ),
}


@pytest.mark.parametrize(("place", "value", "words"), TROUBLES.values(), ids=TROUBLES)
def test_what_is_missing_is_said_in_one_sentence(place, value, words, gpu, monkeypatch):
    assert cuda.unavailable() is None
    cuda._why_not.cache_clear()
    monkeypatch.setattr(place, value)
    pytest.raises(RuntimeError, choice.choose, "cuda", tensor_on("cuda:0")).match(words)
    sentence = cuda.unavailable(torch.device("cuda", 0))
    assert "\n" not in sentence
    assert ". " not in sentence


@pytest.mark.parametrize("package", ["cuda.core", "cuda.bindings", "cuda"])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(package, gpu, monkeypatch):
    assert cuda.unavailable() is None  # everything is imported
    cuda._why_not.cache_clear()
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(nvrtc, "version", nvrtc.version.__wrapped__)
    if package == "cuda.bindings":
        monkeypatch.setattr(nvrtc, "cuda_core", lambda: None)
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        monkeypatch.delitem(sys.modules, name)
    if "." in package:
        monkeypatch.delattr(sys.modules["cuda"], package.removeprefix("cuda."), raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    sentence = cuda.unavailable()
    assert ("cuda-bindings" if package == "cuda.bindings" else "cuda-core") in sentence
    assert 'pip install "sgtool[cu12]"' in sentence


def test_packages_whose_versions_do_not_fit_are_named_too(gpu, monkeypatch):
    def skewed(name):
        raise AttributeError("module 'driver' has no attribute 'CUnew'\nand a second line")

    monkeypatch.setattr(sys.modules["cuda"], "core", SimpleNamespace())  # without Program: older than 0.5, or broken
    monkeypatch.setattr(nvrtc.importlib, "import_module", skewed)
    sentence = cuda.unavailable()
    assert "cuda-core cannot be used (module 'driver' has no attribute 'CUnew'); run: pip install" in sentence


def test_a_driver_older_than_the_compiler_is_named(gpu):
    gpu.cuDriverGetVersion = lambda: (0, 12040)
    sentence = cuda.unavailable()
    assert "driver supports CUDA 12.4, which is older than the compiler NVRTC 13." in sentence
    assert 'update the driver, or run: pip install "sgtool[cu12]"' in sentence


def test_a_driver_of_an_earlier_minor_version_is_good_enough(gpu, monkeypatch):
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 5))
    assert cuda.unavailable() is None


def test_the_answer_is_found_out_once(gpu, monkeypatch):
    assert cuda.unavailable(0) is None
    monkeypatch.setattr(torch.cuda, "is_available", no_compiler)
    assert cuda.unavailable(0) is None


def test_the_kernels_can_be_switched_off(gpu, monkeypatch, capfd):
    monkeypatch.setenv("SGTOOL_KERNELS", "off")
    assert choice.choose("auto", tensor_on("cuda:0")) == "plain"
    assert capfd.readouterr().err == ""  # the user knows
    with pytest.raises(RuntimeError, match="SGTOOL_KERNELS=off"):
        choice.choose("cuda", tensor_on("cuda:0"))
    cuda._why_not.cache_clear()
    monkeypatch.setenv("SGTOOL_KERNELS", "no")
    with pytest.raises(UserError, match="SGTOOL_KERNELS is 'no'. Set it to on or off"):
        cuda.unavailable()


# Which implementation runs


def tensor_on(device, dtype=torch.float32):
    return SimpleNamespace(device=torch.device(device), dtype=dtype)


def test_auto_takes_the_kernels_where_they_run(gpu, capfd):
    assert choice.choose("auto", tensor_on("cuda:0")) == "kernels"
    assert choice.choose("cuda", tensor_on("cuda:0")) == "kernels"
    assert choice.choose("reference", tensor_on("cuda:0")) == "reference"
    assert choice.choose("auto", tensor_on("cpu")) == "plain"
    assert choice.choose("auto", tensor_on("mps")) == "plain"
    assert choice.choose("auto", tensor_on("cuda:0", torch.complex64)) == "plain"
    assert capfd.readouterr().err == ""


def test_auto_takes_plain_pytorch_where_they_do_not_and_says_so_once(gpu, monkeypatch, capfd):
    monkeypatch.setattr(nvrtc, "version", no_compiler)
    for _ in range(3):
        assert choice.choose("auto", tensor_on("cuda:0")) == "plain"
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("sgtool: plain PyTorch takes the place of the CUDA kernels, and is slower.")
    assert 'pip install "sgtool[cu13]"' in line


def test_cuda_refuses_a_cpu_tensor_and_a_type_without_kernels(gpu):
    with pytest.raises(RuntimeError, match="the tensor is on cpu"):
        choice.choose("cuda", tensor_on("cpu"))
    with pytest.raises(TypeError, match="take float16, bfloat16, float32, float64, not int32"):
        choice.choose("cuda", tensor_on("cuda:0", torch.int32))


@pytest.mark.skipif(torch.version.cuda is not None, reason="with CUDA in PyTorch the sentence is another one")
@pytest.mark.parametrize("op", [bias_act, functools.partial(upfirdn2d, f=None)])
def test_cuda_says_why_not_on_a_machine_without_a_gpu(op):
    cuda._why_not.cache_clear()
    with pytest.raises(RuntimeError, match="no CUDA kernels can run here. This build of PyTorch has no CUDA; install one"):
        op(torch.ones(1, 3, 4, 4), impl="cuda")


@pytest.mark.parametrize("impl", ["auto", "reference", "cuda"])
def test_tensors_on_two_devices_are_named(impl):
    x = torch.ones(2, 3, 4, 4)
    with pytest.raises(ValueError, match="cpu.*meta.*move one of them"):
        bias_act(x, torch.ones(3, device="meta"), impl=impl)
    with pytest.raises(ValueError, match="cpu.*meta.*move one of them"):
        upfirdn2d(x, setup_filter([1, 3, 3, 1], device="meta"), impl=impl)


def test_a_float64_filter_on_other_types_is_left_to_plain_pytorch(monkeypatch):
    monkeypatch.setattr(choice, "KERNEL_DEVICES", ("cuda", "cpu"))
    x, f = torch.rand(1, 1, 6, 6), setup_filter([1, 2, 1]).double()
    torch.testing.assert_close(upfirdn2d(x, f), upfirdn2d(x, f, impl="reference"))
    monkeypatch.setattr(choice, "_insist", lambda index: None)
    x = SimpleNamespace(device=torch.device("cuda"), dtype=torch.float16, ndim=4, shape=x.shape)
    f = SimpleNamespace(device=x.device, dtype=torch.float64, ndim=2, shape=f.shape, requires_grad=False)
    with pytest.raises(TypeError, match="float64 filter needs a float64 x, not torch.float16"):
        upfirdn2d(x, f, impl="cuda")


# Launching


def test_a_kernel_that_does_not_load_is_named(sources, monkeypatch):
    def refuse(*given):
        raise RuntimeError("the CUDA driver answers CUDA_ERROR_NO_BINARY_FOR_GPU")

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(cuda, "_load_module", refuse)
    words = r"scale<double> \(sm_90\) could not be loaded on cuda:0: .*NO_BINARY_FOR_GPU"
    with pytest.raises(RuntimeError, match=words):
        cuda._load(SimpleNamespace(source=DOUBLE[0], kernel=DOUBLE[1]), 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there; tests/gpu launches on it")
@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for the driver is built for Linux")
@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ to build the stand-in for the driver")
def test_a_launch_reaches_the_driver_as_it_was_written(sources, tmp_path):
    cubins.load_or_compile("scale.cu", "scale<float>", "sm_90")  # cuda-core asks the driver for more than the stand-in knows
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["g++", "-x", "c", "-shared", "-fPIC", "-o", library, HERE / "fake_driver.c"], check=True)
    path = f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    environment = os.environ | {"LD_LIBRARY_PATH": path, "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, HERE / "fake_driver_launches.py", sources]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    common = {"context": 100, "stream": 4321, "y": True, "x": None, "a": 2.5, "n": 2**40}
    first, *others = report["arrived"]
    assert first == common | {"numbers": [1, 2, 3, 128, 1, 1, 60000]}
    assert others == [common | {"numbers": [1, 2, 3, 128, 1, 1, 0]}] * 4  # threads, each of which began without a context
    assert report["modules"] == 1
    assert report["capture_mode"] == 0
    launch, shared, half, text = report["refusals"]
    assert launch == "the kernel scale<float> could not be launched on cuda:0: CUDA_ERROR_INVALID_VALUE"
    assert shared == "the CUDA driver answers CUDA_ERROR_INVALID_VALUE"
    assert half == "a kernel cannot take an argument of type float16"
    assert text == "a kernel cannot take an argument of type str"
