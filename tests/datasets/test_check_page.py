import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from sgtool.datasets.check_page import check_path, page, write_page
from sgtool.datasets.findings import Failure, measure
from sgtool.datasets.judge import judge
from sgtool.datasets.kinds import KINDS, Finding, Limits
from sgtool.errors import UserError

HOSTILE = [
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(1)>.png',
    "' onmouseover='alert(1).png",
    "</style><svg onload=alert(1)>.png",
    "&lt;b&gt;.png",
    "line\nbreak\x00\x1b[31m.png",
    "right\u202eto left.png",
    "é漢字🙂.png",
    "\udcff.png",
    "x" * 5000 + ".png",
]
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "td", "a"),
    *("section", "div", "figure", "figcaption", "img", "bdi", "br", "span"),
}

ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "href", "id", "class", "alt", "src"}


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = set(), [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [(tag, *attribute) for attribute in attributes]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "tags are closed in their order"

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def findings(photo):
    """Findings on good, equal and unreadable pictures, all with hostile names."""
    pictures = [photo(i, 64, 64) for i in range(len(HOSTILE))]
    measured = [(name, measure(picture)) for name, picture in zip(HOSTILE, pictures, strict=True)]
    copies = [(f"copy of {name}", measures) for name, measures in measured]
    failed = [(f"broken {name}", Failure(f"no <b>picture</b> {name}")) for name in HOSTILE]
    return judge([*measured, *copies, *failed])


def test_hostile_names_are_text_and_nothing_else(findings):
    text = page(findings, "<script>alert(0)</script>")
    reader = Reader(text)
    assert reader.open == []
    assert reader.tags <= TAGS
    assert {name for _, name, _ in reader.attributes} <= ATTRIBUTES
    words = "".join(reader.words)
    for name in HOSTILE[:5]:
        assert name in words
    assert "é漢字🙂.png" in words
    assert "line\ufffdbreak\ufffd\ufffd[31m.png" in words
    assert "right\ufffdto left.png" in words
    assert not re.search("[\x00\x1b\u202e\udcff]", text)
    text.encode("utf-8")
    assert "x" * 90 in words
    assert "x" * 110 not in words


def test_nothing_comes_from_elsewhere(findings):
    text = page(findings, "title")
    reader = Reader(text)
    for tag, name, value in reader.attributes:
        if name == "src":
            assert (tag, value[:23]) == ("img", "data:image/jpeg;base64,")
            assert Image.open(io.BytesIO(base64.b64decode(value[23:], validate=True))).size == (64, 64)
        if name == "href":
            assert value.startswith("#")
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert ("meta", "content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in reader.attributes


def test_links_lead_to_the_sections(findings):
    reader = Reader(page(findings, "title"))
    assert {v[1:] for _, name, v in reader.attributes if name == "href"} == {
        v for _, name, v in reader.attributes if name == "id"
    }
    assert {v for _, name, v in reader.attributes if name == "id"} == set(findings.kinds)


def test_copies_stand_beside_what_is_kept(findings):
    figures = re.findall(r"<figure>(.*?)</figure>", page(findings, "title"), re.DOTALL)
    pairs = [re.findall('src="([^"]+)"', figure) for figure in figures if "the same pixels as" in figure]
    assert len(pairs) == len(HOSTILE)
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in pairs)


def test_what_cannot_be_read_has_no_picture(findings):
    figures = re.findall(r"<figure>(.*?)</figure>", page(findings, "title"), re.DOTALL)
    broken = [figure for figure in figures if "broken" in figure]
    assert len(broken) == len(HOSTILE)
    assert not any("<img" in figure for figure in broken)


def test_the_page_of_a_million_findings_is_small(findings, photo):
    """Every kind with as many findings as shown, and thumbnails of the largest size."""
    shown = Limits().shown
    many = {
        kind: [Finding(f"{kind}/{i}.png" + "n" * 250, "r" * 250, f"kept/{i}.png") for i in range(shown * 20)] for kind in KINDS
    }
    names = [name for found in many.values() for finding in found[:shown] for name in (finding.name, finding.kept)]
    large = type(findings)(1_000_000, 900_000, many, Limits(), thumbnails=dict.fromkeys(names, bytes(3072)))
    text = page(large, "title")
    assert len(text) < 10_000_000
    assert text.count("<figure>") == shown * len(KINDS)
    assert f"and {shown * 19} more" in text


def test_a_page_without_findings_says_so(photo):
    text = page(judge([("a.png", measure(photo(0)))]), "pictures/")
    assert "Nothing was found." in text
    assert "Fewer than 8 pictures" in text
    assert "<figure>" not in text


def test_the_page_is_written_and_not_over_another(findings, tmp_path):
    path = tmp_path / "page.html"
    write_page(path, findings, "title")
    assert path.read_text(encoding="utf-8") == page(findings, "title")
    with pytest.raises(UserError, match="--report .*page.html already exists. Choose another name, or add --force"):
        write_page(path, findings, "other")
    write_page(path, findings, "other", force=True)
    assert "<h1>other</h1>" in path.read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        check_path(tmp_path / "nothere" / "page.html")
    with pytest.raises(UserError, match="Give a name that ends in .html"):
        check_path(tmp_path / "page.pdf")
    check_path(tmp_path / "page.htm")
