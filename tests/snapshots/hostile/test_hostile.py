"""No file runs code, writes, connects or takes the machine: hostile ones are refused in a sentence, under Python's audit hook."""

import audit
import corpus
import pytest
from click.testing import CliRunner
from messages import problems
from processes import examined

from sgtool import cli

CASES = corpus.collect()
SECONDS = 2  # of the CPU, to open one file
BYTES = 48 << 20  # of memory beyond twice the file


@pytest.fixture(scope="session")
def records(request):
    """What happened when the hostile files were opened, those that this run of the tests asks for."""
    names = [item.callspec.params["name"] for item in request.session.items if "records" in item.fixturenames]
    return examined("cases", names)


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused_and_nothing_else_happens(records, name):
    case, record = CASES[name], records[name]
    assert record["events"] == []
    assert record["made"] == []
    assert record["outcome"] in ({"opened", "refused"} if case.harmless else {"refused"}), record["message"]
    assert record["seconds"] < SECONDS
    assert record["peak"] < BYTES + 2 * record["size"]
    if record["outcome"] == "refused":
        for words in case.words:
            assert words in record["message"]
        assert problems(record["message"], record["path"]) == []


def test_there_are_hostile_files_of_every_kind():
    assert len(CASES) > 1000
    for word in (
        "os.system",
        "builtins.eval",
        "NEWOBJ_EX",
        "zip bomb",
        "symbolic link",
        "billion laughs",
        "TensorFlow",
        "safetensors",
    ):
        assert any(word in name for name in CASES), word


# That the hook would see it: the same files, opened by Python's own pickle.
CARELESS = {
    "os.mkdir in a pickle": "os.mkdir",
    "calls os.system": "os.system",
    "calls os.remove": "os.remove",
    "calls os.posix_spawn": "os.posix_spawn",
    "calls os.fork": "os.fork",
    "calls subprocess.Popen": "subprocess.Popen",
    "calls shutil.rmtree": "shutil.rmtree",
    "calls builtins.eval": "compile",
    "calls builtins.exec": "compile",
    "calls builtins.compile": "compile",
    "calls builtins.open": "open",
    "calls importlib.import_module": "open",
    "calls builtins.__import__": "import",
    "calls marshal.loads": "marshal.loads",
    "calls ctypes.CDLL": "ctypes.dlopen",
    "calls socket.gethostbyname": "socket.gethostbyname",
}


@pytest.fixture(scope="session")
def careless():
    """What happened when some of the files were opened by Python's own pickle."""
    return examined("careless", CARELESS)


@pytest.mark.parametrize("name", CARELESS)
def test_the_audit_hook_sees_what_a_careless_program_does(careless, name):
    events = [event.partition(" ")[0] for event in careless[name]["events"]]
    assert events[0] == "pickle.find_class"
    assert CARELESS[name] in events


def test_honest_files_are_opened_under_the_hook(tmp_path, request):
    paths = audit.honest_files(tmp_path)
    golden = request.path.parents[4] / "shared" / "golden"
    paths += [path for path in golden.glob("*.p*") if "sg3_" not in path.name]
    for path, record in examined("files", paths).items():
        assert (record["outcome"], record["events"], record["made"]) == ("opened", [], []), (path, record["message"])


def test_files_that_are_no_stylegan2_are_named_under_the_hook(golden):
    for path, record in examined("files", golden.glob("*sg3_[rt].pkl")).items():
        assert (record["outcome"], record["events"]) == ("refused", []), path
        assert "StyleGAN3" in record["message"]


SEEN = ["calls os.system", "a name that clears the terminal", "a zip bomb", "billion laughs", "a storage with a count of 2**62"]
SEEN += ["safetensors: a header of 2**63 bytes", "own format: a billion mapping layers", "a named pipe", "a web page"]


@pytest.mark.parametrize("name", [name for name in SEEN if name in CASES])
@pytest.mark.parametrize(
    "command", [["inspect"], ["generate", "--seeds", "0", "--outdir", "out", "--network"]], ids=["inspect", "generate"]
)
def test_commands_say_it_in_a_sentence(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    path = CASES[name].path(tmp_path)
    done = CliRunner().invoke(cli.main, [*command, str(path)])
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit)
    assert problems(done.output.removeprefix("Error: ").rstrip("\n"), str(path)) == []
    assert list((tmp_path / "out").glob("*")) == []
