"""G_ema as an ONNX file, which onnxruntime and many other programs run."""

import contextlib
import json
import logging
import warnings

import numpy as np
import torch

from sgtool import __version__
from sgtool.errors import UserError
from sgtool.files import atomic_write
from sgtool.models.program import exported

OPSET = 18
LARGEST = 2**31 - 2**20  # bytes: a single file of this format holds less than 2 GiB


def packages():
    """Return the modules (onnx, onnxruntime).

    Raises:
        UserError: they are not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - PyTorch's exporter needs it
    except ImportError as error:
        raise UserError(f'--to onnx needs the package {error.name}. Run: pip install "sgtool[onnx]"') from error
    return onnx, onnxruntime


def write(G, path, about):
    """Write a generator as ONNX.

    Inputs: z `[batch, z_dim]`, c `[batch, c_dim]` if it has labels, truncation_psi `[]` if it knows its average (1 = none), all
    float32. Output: img `[batch, channels, height, width]` float32, nominally -1..1. The noise is as stored.

    Args:
        G: a `Generator` on the CPU, in eval mode.
        path: the file.
        about: dict of plain values, kept as JSON in the metadata entry "sgtool".
    Raises:
        UserError: a package is missing, the network is too large for one file, or PyTorch's exporter gave up.
    """
    onnx, _ = packages()
    if sum(t.numel() * t.element_size() for t in G.state_dict().values()) > LARGEST:
        raise UserError("A network of 2 GB and more does not fit into one ONNX file. Convert it --to torchscript.")
    with _quiet_exporter():
        pictures, program = exported(G)
        try:
            program = torch.onnx.export(
                program,
                input_names=pictures.input_names,
                output_names=["img"],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(
                f"PyTorch {torch.__version__} could not write this network as ONNX ({reason}). Convert it --to torchscript."
            ) from error
    model = program.model_proto
    _tidy(model, about)
    onnx.checker.check_model(model)
    with atomic_write(path) as file:
        file.write(model.SerializeToString())


def run(path, inputs):
    """Run such a file by onnxruntime.

    Args:
        path: the file.
        inputs: tensors, in the order of the file's inputs.
    Returns:
        `[N, C, H, W]` float32.
    """
    _, onnxruntime = packages()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    named = {place.name: tensor.numpy().astype(np.float32) for place, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return torch.from_numpy(session.run(["img"], named)[0])


def _tidy(model, about):
    """Name the batch, say what the file is, and drop the exporter's notes: traces with the names of this machine's folders."""
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == batch:
                size.dim_param = "batch"
    del model.graph.value_info[:]  # shapes inside, which readers find by themselves
    for part in (model, model.graph, *model.graph.node, *model.functions, *(node for f in model.functions for node in f.node)):
        del part.metadata_props[:]
        part.doc_string = ""
    model.producer_name, model.producer_version = "sgtool", __version__
    entry = model.metadata_props.add()
    entry.key, entry.value = "sgtool", json.dumps(about, allow_nan=False)


@contextlib.contextmanager
def _quiet_exporter():
    """Leave out what PyTorch's exporter says about itself: a package that it does without, a call that it will change."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # "torchvision is not installed"
    with warnings.catch_warnings():
        # PyTorch 2.13 copies such a value inside its exporter; this may go when it no longer does.
        warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", FutureWarning)
        try:
            yield
        finally:
            registry.setLevel(level)
