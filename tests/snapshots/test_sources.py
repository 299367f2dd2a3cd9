"""Where models come from: files, folders, addresses, names; and what is said about anything else."""

import functools
import hashlib
import http.server
import re
import threading
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from sgtool import snapshots
from sgtool.cli import main
from sgtool.errors import UserError
from sgtool.networks import build_generator
from sgtool.snapshots import find, sources
from sgtool.snapshots.known import KNOWN, Known


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache and a current folder of its own for each test."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("SGTOOL_OFFLINE", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "cache" / "models"


def small_model(path):
    """Write a small model; returns its SHA-256."""
    torch.manual_seed(0)
    sizes = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"channel_base": 64, "channel_max": 8}}
    G = build_generator(z_dim=8, c_dim=0, w_dim=8, img_resolution=8, img_channels=1, **sizes)
    snapshots.save(snapshots.Snapshot(G), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and counts."""

    requests = []

    def do_GET(self):
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        """Be quiet."""


@pytest.fixture
def web(tmp_path):
    """A folder that is served, the address of its model.pkl, and the SHA-256 of that."""
    folder = tmp_path / "web"
    folder.mkdir()
    sha256 = small_model(folder / "model.pkl")
    Quiet.requests = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/model.pkl", sha256
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(*given, **options):
    with pytest.raises(UserError) as caught:
        find(*given, **options)
    return caught.value.message


def test_a_file_is_itself(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"x")
    assert find(tmp_path / "x.pkl") == find(str(tmp_path / "x.pkl"), offline=True) == tmp_path / "x.pkl"


def test_a_run_folder_is_its_newest_snapshot_by_number(tmp_path):
    names = ("network-snapshot-000200.pkl", "network-snapshot-1000.pkl", "network-snapshot-000400.pkl", "network-snapshot-x.pkl")
    for name in (*names, "checkpoint.pkl", "network-final.pkl", "training_options.json"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "network-snapshot-002000.pkl").mkdir()
    assert find(tmp_path) == tmp_path / "network-snapshot-1000.pkl"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["checkpoint.pkl", "log.txt"], "Give a run folder that has one, or the file itself."),
        (["log.txt", "550000.pt"], "Its one model file has another name: give {folder}/550000.pt."),
        (["network-final.PKL"], "Its one model file has another name: give {folder}/network-final.PKL."),
        (["a.safetensors", "b.ckpt", "c.pth"], "Give one of its model files, like {folder}/c.pth."),
    ],
)
def test_a_folder_without_snapshots_says_what_else_is_there(tmp_path, names, words):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"x")
    assert refusal(folder) == f"{folder} holds no network-snapshot-*.pkl. {words.format(folder=folder)}"


def test_an_address_is_downloaded_once_and_loaded(web, cache):
    url, sha256 = web
    said = []
    path = find(url, progress=False, say=said.append)
    assert path.parent == cache
    assert said == [f"Downloading {url} into {cache}"]
    assert snapshots.load(url).G_ema.img_resolution in (8, (8, 8), [8, 8])
    assert snapshots.network_hash(url) == sha256
    assert Quiet.requests == ["/model.pkl"]


def test_a_known_name_is_downloaded_and_checked(web, monkeypatch, cache):
    url, sha256 = web
    monkeypatch.setitem(KNOWN, "ffhq256", Known(url, sha256, "faces"))
    said = []
    assert find("ffhq256", progress=False, say=said.append).name.startswith("model-")
    assert said == [f"Downloading ffhq256 (faces; NVIDIA's, under NVIDIA's licence) into {cache}"]
    monkeypatch.setitem(KNOWN, "ffhq512", Known(f"{url}?2", "0" * 64, "faces"))
    assert "is not the known file" in refusal("ffhq512")


def test_what_exists_goes_before_a_known_name():
    Path("ffhq256").write_bytes(b"x")
    assert find("ffhq256") == Path("ffhq256")


def test_a_folder_that_hides_a_known_name_says_so():
    Path("cifar10").mkdir()
    message = refusal("cifar10")
    assert message.startswith("cifar10 holds no network-snapshot-*.pkl.")
    assert message.endswith(f"For the published model of that name give its address, {KNOWN['cifar10'].url}")


def test_offline_a_name_and_an_address_are_refused_unless_they_are_cached(web, monkeypatch):
    url, sha256 = web
    monkeypatch.setitem(KNOWN, "ffhq256", Known(url, sha256, "faces"))
    assert refusal("ffhq256", offline=True).startswith("ffhq256 (faces; NVIDIA's, under NVIDIA's licence) is not in the cache")
    assert refusal(url, offline=True).startswith(f"{url} is not in the cache")
    assert Quiet.requests == []
    path = find("ffhq256")
    monkeypatch.setenv("SGTOOL_OFFLINE", "1")
    assert find("ffhq256") == find(url) == path


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("fhq256", "fhq256 is neither a file nor a known model. Did you mean ffhq256 or "),
        ("FFHQ1024", "FFHQ1024 is neither a file nor a known model. Did you mean ffhq1024 or "),
        ("ffhq1024.pkl", "ffhq1024.pkl is neither a file nor a known model. Did you mean ffhq1024 or "),
        ("zebra", "zebra is neither a file nor a known model. Known: ffhq256, ffhq512, ffhq1024, celebahq256, lsundog256, "),
        ("zebra.pt", "zebra.pt does not exist. Give a model file, a run folder, an address or a known name, like ffhq256."),
        ("runs/zebra", "runs/zebra does not exist. Give a model file"),
        ("", "The model's name is empty. Give a file"),
        (" ", "The model's name is empty. Give a file"),
        ("file:///etc/passwd", "file:///etc/passwd: only http and https addresses are downloaded."),
        ("a" * 5000, f"{'a' * 200} cannot be opened (File name too long). Check the path."),
    ],
)
def test_what_is_nothing_is_told_with_what_it_could_be(word, message):
    assert refusal(word).startswith(message)


def generate(network, outdir, *options):
    return CliRunner().invoke(
        main, ["generate", "--network", str(network), "--seeds", "1", "--device", "cpu", "--outdir", str(outdir), *options]
    )


def test_generate_takes_an_address_and_says_what_it_downloads(web, tmp_path, cache):
    result = generate(web[0], tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert f"Downloading {web[0]} into {cache}\n" in result.stderr
    result = generate(web[0], tmp_path / "p", "--offline")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "o" / "seed0001.png").read_bytes() == (tmp_path / "p" / "seed0001.png").read_bytes()


@pytest.mark.parametrize("set_to", ["0", "1"])
def test_generate_offline_says_what_is_missing_before_anything_else(tmp_path, monkeypatch, set_to):
    monkeypatch.setenv("SGTOOL_OFFLINE", set_to)
    offline = [] if set_to == "1" else ["--offline"]
    result = CliRunner().invoke(
        main, ["generate", "--network", "ffhq256", "--seeds", "1", "--outdir", str(tmp_path / "o"), *offline]
    )
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: ffhq256 (faces (FFHQ), 256x256; NVIDIA's, under NVIDIA's licence) is not in the cache"
    )
    assert not (tmp_path / "o").exists()


def test_generate_tells_the_notes_of_a_model(tmp_path):
    small_model(tmp_path / "x.pkl")
    contents = torch.load(tmp_path / "x.pkl", weights_only=True)
    contents["G"] = contents.pop("G_ema")
    torch.save(contents, tmp_path / "x.pkl")
    result = CliRunner().invoke(
        main,
        ["generate", "--network", str(tmp_path / "x.pkl"), "--seeds", "1", "--device", "cpu", "--outdir", str(tmp_path / "o")],
    )
    assert result.exit_code == 0, result.output
    assert "The file has no averaged generator (G_ema); its G is used.\n" in result.stderr


def test_known_models_are_published_at_addresses_of_nvidia():
    assert list(KNOWN)[:5] == ["ffhq256", "ffhq512", "ffhq1024", "celebahq256", "lsundog256"]
    assert len({known.url for known in KNOWN.values()}) == len(KNOWN)
    for name, known in KNOWN.items():
        assert re.fullmatch(r"https://(nvlabs-fi-cdn\.nvidia\.com|api\.ngc\.nvidia\.com)/[\w./-]+\.pkl", known.url)
        assert known.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", known.sha256)
        assert Path(name).name == name
        assert not re.match(sources.ADDRESS, name)
        size = re.search(r"(\d+)(?:x\d+)?$", name)
        if size and name != "cifar10":
            assert known.what.endswith(f"{size[1]}x{size[1]}")


def test_the_page_on_models_has_the_table_as_it_is():
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.-]+)` \| (.+?) \| <?(https://[^ >|]+)>? \| (?:`([0-9a-f]{64})`)? ?\|$", page, re.MULTILINE)
    assert rows == [(name, known.what, known.url, known.sha256 or "") for name, known in KNOWN.items()]
