"""The cache of weights: fetched by its SHA-256 or not at all, imported by content, checked, listed."""

import functools
import hashlib
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from vgg_files import lpips_state

from sgtool.detectors import find_inception, find_vgg, known, store
from sgtool.detectors.known import KNOWN
from sgtool.errors import UserError


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The folder of an empty cache, which is not made yet."""
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SGTOOL_OFFLINE", raising=False)
    return tmp_path / "cache" / "weights"


@pytest.fixture
def lpips_file(tmp_path, lins):
    path = tmp_path / "some.pth"
    torch.save(lpips_state(lins), path)
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Be quiet."""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A web server with a folder, and a function that says that a published file is to be had there under these names."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(name, *names, data=b"weights"):
        addresses = tuple(f"http://127.0.0.1:{server.server_address[1]}/{file}" for file in names)
        row = KNOWN[name]._replace(addresses=addresses, sha256=hashlib.sha256(data).hexdigest())
        monkeypatch.setitem(KNOWN, name, row)
        return folder

    yield publish
    server.shutdown()
    server.server_close()


def states():
    return {name: state for name, _, state, _, _ in store.table()[0]}


def test_a_file_is_fetched_once_and_found(cache, site):
    folder = site("inception", "in.pth")
    (folder / "in.pth").write_bytes(b"weights")
    assert states()["inception"] == "missing"
    path = store.fetch("inception")
    assert path.read_bytes() == b"weights"
    assert path.parent == cache
    assert find_inception() == path
    assert states()["inception"] == "here"
    (folder / "in.pth").unlink()
    assert store.fetch("inception") == path  # no second download
    assert store.fetch("inception", offline=True) == path
    assert known.known_as(path).startswith(f"{path} is inception-2015-12-05-6726825d.pth of pytorch-fid")


def test_the_second_address_is_asked_when_the_first_fails(cache, site):
    said = []
    (site("inception", "gone.pth", "there.pth") / "there.pth").write_bytes(b"weights")
    path = store.fetch("inception", say=said.append)
    assert path.read_bytes() == b"weights"
    assert any("404" in line and "there.pth" in line for line in said)
    assert find_inception() == path
    assert store.fetch("inception") == path


def test_another_file_at_the_address_is_not_kept(cache, site):
    (site("vgg16", "v.pth") / "v.pth").write_bytes(b"something else")
    with pytest.raises(UserError, match="is not the known file: its SHA-256 is"):
        store.fetch("vgg16")
    assert find_vgg() is None
    assert states()["vgg16"] == "missing"


def test_what_was_fetched_and_changed_is_refused(cache, site):
    (site("inception", "in.pth") / "in.pth").write_bytes(b"weights")
    path = store.fetch("inception")
    path.write_bytes(b"changed")
    with pytest.raises(UserError, match="is not what it should be"):
        store.fetch("inception")
    with pytest.raises(UserError, match="is not what its name says"):
        known.known_as(path)
    (verdict,) = store.verify("inception")
    assert not verdict.good
    assert "is not what its name says" in verdict.text


def test_offline_nothing_is_asked_and_the_way_around_is_named(cache, monkeypatch):
    monkeypatch.setattr(store, "download", None)
    for offline in (True, False):
        with pytest.raises(UserError, match="nothing is downloaded offline. .*bring the file here and run: sgtool weights --im"):
            store.fetch("inception", offline=offline)
        monkeypatch.setenv("SGTOOL_OFFLINE", "1")


def test_vgg16_and_the_weights_of_lpips_are_found_where_they_were_fetched(cache, site):
    (site("vgg16", "v.pth") / "v.pth").write_bytes(b"weights")
    (site("lpips", "l.pth") / "l.pth").write_bytes(b"weights")
    network, lpips = store.fetch("vgg16"), store.fetch("lpips")
    assert find_vgg() == (network, lpips)


def test_each_kind_of_file_is_imported_under_a_name_by_which_it_is_found(
    cache, tmp_path, inception_file, network_file, lpips_file
):
    for path, name in ((inception_file, "inception.pth"), (network_file, "vgg16.pth"), (lpips_file, "weights-vgg16-lpips.pth")):
        mine = tmp_path / "download.bin"
        shutil.copy(path, mine)
        target, note = store.take_in(mine)
        assert target == cache / name
        assert target.read_bytes() == path.read_bytes()
        assert "is no file that sgtool knows" in note
    assert find_inception() == cache / "inception.pth"
    assert find_vgg() == (cache / "vgg16.pth", cache / "weights-vgg16-lpips.pth")
    assert [path.name for path in store.table()[1]] == ["inception.pth", "vgg16.pth", "weights-vgg16-lpips.pth"]
    assert store.take_in(lpips_file)[0] == cache / "weights-vgg16-lpips.pth"  # again: it is there
    for network in ("inception", "lpips"):
        assert [verdict.good for verdict in store.verify(network)] == [True]


def test_a_known_file_is_imported_under_its_own_name(cache, monkeypatch, lpips_file):
    digest = hashlib.sha256(lpips_file.read_bytes()).hexdigest()
    monkeypatch.setitem(KNOWN, "lpips", KNOWN["lpips"]._replace(sha256=digest))
    target, note = store.take_in(lpips_file)
    assert target == cache / "vgg_lpips.pth"
    assert "is vgg.pth of LPIPS 0.1" in note
    assert states()["lpips"] == "here"


def test_a_file_that_is_there_is_not_replaced_by_another(cache, lpips_file):
    cache.mkdir(parents=True)
    (cache / "weights-vgg16-lpips.pth").write_bytes(b"mine")
    with pytest.raises(UserError, match="is another file, which is not replaced. Delete it"):
        store.take_in(lpips_file)
    assert (cache / "weights-vgg16-lpips.pth").read_bytes() == b"mine"


def test_what_holds_no_known_network_is_not_imported(cache, tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="holds no weights that sgtool uses"):
        store.take_in(path)
    path.write_text("hello")
    with pytest.raises(UserError, match="is neither a file of torch nor of safetensors"):
        store.take_in(path)
    with pytest.raises(UserError, match="does not exist"):
        store.take_in(tmp_path / "none.pth")
    assert not cache.exists()


def test_what_was_put_there_by_hand_is_not_fetched_again(cache, site):
    site("lpips", "l.pth", data=b"whole")
    cache.mkdir(parents=True)
    (cache / "l.pth").write_bytes(b"whole")
    (cache / "vgg_lpips.pth").write_bytes(b"another")
    with pytest.raises(UserError, match="404"):  # another of that name: it is asked for, and the site has none
        store.fetch("lpips")
    (cache / "vgg_lpips.pth").write_bytes(b"whole")
    assert store.fetch("lpips") == cache / "vgg_lpips.pth"
    assert store.fetch("lpips", offline=True) == cache / "vgg_lpips.pth"


def test_a_download_that_fails_names_the_way_by_hand(cache, monkeypatch):
    monkeypatch.setitem(KNOWN, "lpips", KNOWN["lpips"]._replace(addresses=("http://127.0.0.1:9/vgg.pth",)))
    with pytest.raises(UserError, match="download it in a browser and give the file to: sgtool weights --import FILE$"):
        store.fetch("lpips")


def test_two_fetches_at_once_download_once(cache, site, monkeypatch):
    (site("inception", "in.pth", data=b"w" * 300_000) / "in.pth").write_bytes(b"w" * 300_000)
    asked, found = [], []
    monkeypatch.setattr(Quiet, "do_GET", lambda self: (asked.append(self.path), SimpleHTTPRequestHandler.do_GET(self)))
    threads = [threading.Thread(target=lambda: found.append(store.fetch("inception"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(asked) == 1
    assert len(found) == 4
    assert set(found) == {find_inception()}
    assert not list(cache.glob("*.part"))


def test_a_cache_that_is_no_folder_is_empty_and_takes_nothing(monkeypatch, tmp_path, lpips_file, site):
    site("lpips", "l.pth")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SGTOOL_CACHE", str(tmp_path / "file"))
    monkeypatch.delenv("SGTOOL_OFFLINE", raising=False)
    assert set(states().values()) == {"missing"}
    assert find_vgg() is None
    with pytest.raises(UserError, match="SGTOOL_CACHE, the cache folder, .*cannot be created .Not a directory."):
        store.take_in(lpips_file)
    with pytest.raises(UserError, match="cannot be written .Not a directory.*SGTOOL_CACHE=/path"):
        store.fetch("lpips")


def test_a_folder_in_a_files_place_is_not_replaced(cache, lpips_file):
    (cache / "weights-vgg16-lpips.pth").mkdir(parents=True)
    with pytest.raises(UserError, match="is another file, which is not replaced. Delete it"):
        store.take_in(lpips_file)
    assert store.present("lpips") == []


def test_a_link_is_followed_and_one_that_leads_nowhere_is_replaced(cache, tmp_path, lpips_file):
    cache.mkdir(parents=True)
    (cache / "weights-vgg16-lpips.pth").symlink_to(tmp_path / "nowhere")
    link = tmp_path / "link.pth"
    link.symlink_to(lpips_file)
    target, _ = store.take_in(link)
    assert not target.is_symlink()
    assert target.read_bytes() == lpips_file.read_bytes()
    loop = tmp_path / "loop.pth"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="loop.pth cannot be read"):
        store.take_in(loop)


def test_a_network_with_something_wrong_is_told_of_by_its_own_name(cache, tmp_path, lins):
    path = tmp_path / "mine.pth"
    torch.save(lpips_state([-lin for lin in lins]), path)
    with pytest.raises(UserError, match="mine.pth has negative weights of channels"):
        store.take_in(path)


def test_checking_an_empty_cache_names_the_next_step(cache):
    with pytest.raises(UserError, match="There is nothing to check in .* run: sgtool weights --fetch inception"):
        store.verify()
    with pytest.raises(UserError, match="--fetch vgg16-nvidia"):
        store.verify("vgg16-nvidia")


def test_every_known_file_has_an_address_a_sha256_and_a_licence():
    for row in KNOWN.values():
        assert len(row.sha256) == 64
        assert all(address.startswith("https://") for address in row.addresses)
        assert row.addresses
        assert row.licence
        assert row.file in store.PLACES[row.network]
    assert set(store.PLACES) == set(store.IMPORTED) == set(store.WHAT)
    assert all(name in store.PLACES[network] for network, name in store.IMPORTED.items())
