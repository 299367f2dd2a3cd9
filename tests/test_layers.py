"""Imports go downward: the layers drawn in docs/architecture.md are read from there and held against every import."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sgtool"
FILES = sorted(PACKAGE.rglob("*.py"))
BESIDE = {("files", "errors"), ("cli", "commands"), ("__main__", "cli"), ("detectors", "snapshots")}  # allowed within one layer
WITHOUT_TORCH = ("cli", "commands", "errors", "files", "grammar", "images", "options", "__init__", "__main__")


def drawn_layers():
    """{room: layer} of the lines `  room.py   L1  ...` and `  room/   L2  ...` that are not marked as planned."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    lines = re.findall(r"^  (\w+)(?:/|\.py) +L(\d) +(.*)$", text, re.MULTILINE)
    return {room: int(number) for room, number, what in lines if not what.startswith("planned")}


LAYERS = drawn_layers()


def room_of(module):
    """Second part of a dotted name: sgtool.training.run is in `training`; sgtool itself in `__init__`."""
    return (module.split(".") + ["__init__"])[1]


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(tree, module):
    """Yield (line, dotted name) for each module or name that is imported, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [base])])
            if base == "sgtool":  # from sgtool import images
                rooms = [alias.name if alias.name in LAYERS else "__init__" for alias in node.names]
                yield from ((node.lineno, f"sgtool.{room}") for room in rooms)
            else:
                yield node.lineno, base


def upward(text, module):
    """List the imports of a module's text that do not go down."""
    here, wrong = room_of(module), []
    for line, name in imports(ast.parse(text), module):
        if name.split(".")[0] != "sgtool":
            continue
        there = room_of(name)
        same_room = here == there and here != "commands"
        if not (same_room or LAYERS[here] > LAYERS[there] or (here, there) in BESIDE):
            wrong.append(f"{module}:{line} (L{LAYERS[here]}) imports {name} (L{LAYERS[there]})")
    return wrong


def test_every_room_has_a_layer_in_the_architecture():
    rooms = {room_of(module_of(path)) for path in FILES}
    assert rooms == set(LAYERS)
    for room in rooms:
        assert (PACKAGE / room).is_dir() != (PACKAGE / f"{room}.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_import_goes_down(path):
    assert upward(path.read_text(encoding="utf-8"), module_of(path).removesuffix(".__init__")) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("sgtool.ops.bias_act", "import sgtool.networks.layers"),
        ("sgtool.ops.bias_act", "def f():\n    from sgtool.networks import Generator"),
        ("sgtool.ops.bias_act", "from ..networks import Generator"),
        ("sgtool.networks.build", "from sgtool import snapshots"),
        ("sgtool.metrics.ms_ssim", "from sgtool.latents import generate"),
        ("sgtool.errors", "from sgtool.files import write_text"),
        ("sgtool.commands.train", "from sgtool.commands.prepare import prepare"),
        ("sgtool.commands.train", "from sgtool.cli import main"),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_found(module, text):
    assert len(upward(text, module)) == 1


def module_level(tree):
    """Nodes that run when the module is imported: all that is not in a function."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", [path for path in FILES if room_of(module_of(path)) in WITHOUT_TORCH], ids=module_of)
def test_what_help_needs_imports_no_torch(path):
    nodes = list(module_level(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names}.isdisjoint({"torch", "scipy", "sklearn"})


def test_only_images_knows_the_factor_between_files_and_networks():
    users = set()
    for path in FILES:
        constants = [
            node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
        ]
        if 127.5 in constants:
            users.add(module_of(path))
    assert users == {"sgtool.images"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_an_assertion_says_what_is_wrong(path):
    silent = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert) and node.msg is None
    ]
    assert silent == []
