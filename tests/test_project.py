"""The project around the code: dependencies, pins, version, package data, make targets, the check."""

import ast
import configparser
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import sgtool

ROOT = Path(__file__).parents[1]
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn", "cuda-core": "cuda"}  # where they differ from the package's name


@pytest.fixture
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def names(lines):
    """Package names of requirement lines, without versions and comments."""
    return [re.match(r"[\w.-]+", line)[0] for line in lines.split("\n") if line and not line.startswith("#")]


def imported(folder):
    """{top-level module: whether each import of it is inside a `try`}, of all imports in a folder's files."""
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tried = {id(node) for block in ast.walk(tree) if isinstance(block, ast.Try) for node in ast.walk(block)}
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in modules:
                name = module.split(".")[0]
                found[name] = found.get(name, True) and id(node) in tried
    return {name: optional for name, optional in found.items() if name not in sys.stdlib_module_names and name != "sgtool"}


def test_what_the_package_imports_is_what_it_requires(setup):
    required = {IMPORT_NAMES.get(name, name) for name in names(setup["options"]["install_requires"])}
    assert {name for name, optional in imported("sgtool").items() if not optional} == required


def test_what_the_tests_import_is_required_by_the_package_or_its_test_extra(setup):
    required = names(setup["options"]["install_requires"]) + names(setup["options.extras_require"]["test"])
    own = {path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")}
    assert set(imported("tests")) - own <= {IMPORT_NAMES.get(name, name) for name in required}


def test_every_dependency_states_its_reason():
    lines = (ROOT / "setup.cfg").read_text(encoding="utf-8").splitlines()
    requirements = [i for i, line in enumerate(lines) if re.match(r"    [\w-]+>=", line)]
    assert len(requirements) >= 8
    for i in requirements:
        above = lines[i - 1] if lines[i - 1].startswith("    ") else lines[i - 2]  # of a requirement, or of its extra
        assert above.strip().startswith("# "), lines[i]


def test_constraints_pin_every_dependency_exactly(setup):
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)(?: ; python_version .*)?$", text, re.MULTILINE))
    assert len(re.findall(r"^[^#\n].*$", text, re.MULTILINE)) == len(
        re.findall(r"^[\w.-]+==[\w.]+(?: ; .*)?$", text, re.MULTILINE)
    )
    wanted = names(setup["options"]["install_requires"])
    for name, extra in setup["options.extras_require"].items():
        if name != "cu12":  # the tests use its twin cu13; a machine has one or the other
            wanted += names(extra)
    assert set(wanted) <= set(pins)


def test_the_version_is_written_once(setup):
    assert setup["metadata"]["version"] == "attr: sgtool.__version__"
    assert f"## [{sgtool.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_file_that_is_not_python_is_package_data(setup):
    data = [path for path in (ROOT / "sgtool").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert data
    for path in data:
        package = ".".join(path.parent.relative_to(ROOT).parts)
        patterns = setup["options.package_data"][package].split()
        assert any(fnmatch(path.name, pattern) for pattern in patterns), path


def test_every_folder_with_code_is_a_package():
    for path in (ROOT / "sgtool").rglob("*.py"):
        assert (path.parent / "__init__.py").is_file()


def test_warnings_are_errors_and_an_ignored_one_states_why(setup):
    first, *ignored = setup["tool:pytest"]["filterwarnings"].split("\n")[1:]
    assert first == "error"
    lines = (ROOT / "setup.cfg").read_text(encoding="utf-8").splitlines()
    for line in ignored:
        if not line.startswith("#"):
            assert lines[lines.index("    " + line) - 1].strip().startswith("# ")


def test_make_lists_its_targets():
    done = subprocess.run(["make", "-C", ROOT, "-s", "help"], capture_output=True, text=True, check=True)
    listed = re.findall(r"^make (\w+) ", done.stdout, re.MULTILINE)
    assert listed == ["setup", "demo", "test", "check", "bench", "clean"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in listed:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_check_runs_the_readmes_test_command():
    check = ROOT / ".ci/run"
    assert os.access(check, os.X_OK)
    assert check.read_text(encoding="utf-8").splitlines()[-1] == "make test"
    assert "\n    make test" in (ROOT / "README.md").read_text(encoding="utf-8")
