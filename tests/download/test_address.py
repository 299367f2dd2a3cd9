"""Addresses: which are taken, what is shown of them, and that no address or server decides where something is written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgtool.download.address import file_name, shown
from sgtool.errors import UserError


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.org/a/ffhq.pkl", r"ffhq-[0-9a-f]{12}\.pkl"),
        ("https://x.org/a/my%20model%20(1).safetensors", r"my-model-1-[0-9a-f]{12}\.safetensors"),
        ("https://x.org/files?redirect=true&path=stylegan2-ffhq-256x256.pkl", r"stylegan2-ffhq-256x256-[0-9a-f]{12}\.pkl"),
        ("https://x.org/uc?export=download&id=1AbC", r"uc-[0-9a-f]{12}"),
        ("https://x.org/", r"file-[0-9a-f]{12}"),
        ("https://x.org", r"file-[0-9a-f]{12}"),
        ("https://x.org/..%2f..%2fetc%2fpasswd", r"passwd-[0-9a-f]{12}"),
        ("https://x.org/%2e%2e%5c%2e%2e%5cwin.ini", r"win-[0-9a-f]{12}\.ini"),
        ("https://x.org/.bashrc", r"file-[0-9a-f]{12}\.bashrc"),
        ("https://x.org/größe.pt", r"gr-e-[0-9a-f]{12}\.pt"),
        ("https://x.org/" + "a" * 300 + ".pkl", r"a{80}-[0-9a-f]{12}\.pkl"),
    ],
)
def test_a_file_is_called_as_in_its_address_with_a_key(url, name):
    assert re.fullmatch(name, file_name(url))


@given(st.text(max_size=60), st.text(max_size=30))
def test_whatever_the_address_the_name_is_one_harmless_word(path, query):
    try:
        name = file_name(f"https://x.org/{path}?{query}")
    except UserError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*-[0-9a-f]{12}(\.[A-Za-z0-9]{1,12})?", name)
    assert len(name) < 120


def test_another_address_is_another_file_and_the_same_with_a_login_is_not():
    names = {file_name(f"https://{rest}") for rest in ("x.org/a.pkl", "y.org/a.pkl", "x.org/b/a.pkl", "x.org/a.pkl?v=2")}
    assert len(names) == 4
    assert file_name("https://user:secret@x.org/a.pkl#top") == file_name("HTTPS://X.org/a.pkl")


def test_passwords_and_questions_are_not_shown():
    assert shown("https://user:secret@x.org:8080/a.pkl?token=secret#secret") == "https://x.org:8080/a.pkl?…"
    assert shown("https://x.org/a.pkl") == "https://x.org/a.pkl"


@pytest.mark.parametrize("url", ["http://x.org/\x1b[2J", "ftp\x1b[2J://x.org/a", "http://\x1b[2J[/"])
def test_an_address_cannot_steer_the_terminal(url):
    try:
        text = shown(url)
    except UserError as error:
        text = error.message
    assert "\\x1b[2J" in text
    assert text.isprintable()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.org/a.pkl", "gdrive:networks/a.pkl", "a.pkl", "data:,x"])
def test_other_schemes_are_refused(url):
    with pytest.raises(UserError, match="only http and https addresses are downloaded. Give the path of a file on this machine."):
        shown(url)


@pytest.mark.parametrize(
    "url", ["https://", "https:///a.pkl", "https://[::1/a.pkl", "https://x.org:port/a.pkl", "https://x.org:99999/a"]
)
def test_what_is_no_address_is_told(url):
    with pytest.raises(UserError, match="is not an address that can be read. Check it, or download it in a browser"):
        shown(url)


def test_a_password_in_what_is_no_address_is_not_told():
    for url in ("ftp://user:secret@x.org/a", "https://user:secret@[::1/a", "https://user:secret@x.org:port/a?secret"):
        with pytest.raises(UserError) as caught:
            shown(url)
        assert "secret" not in caught.value.message
