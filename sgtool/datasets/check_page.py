"""Findings as one HTML page: thumbnails inside, no script, nothing from elsewhere."""

import base64
import html
from pathlib import Path

from sgtool.datasets.kinds import COPIES, KINDS
from sgtool.errors import UserError
from sgtool.files import atomic_write

LONGEST = 200  # letters of a name or reason that are shown
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # even if a name were markup, it could do nothing
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .2rem; border-top: 1px solid #ddd; padding-top: 1rem }
p { margin: .2rem 0 } table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .15rem 1rem .15rem 0; text-align: left; vertical-align: top } td:first-child { text-align: right }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: .8rem; margin: .8rem 0 }
figure { margin: 0; padding: .5rem; background: #f6f6f6; border-radius: .3rem; break-inside: avoid }
figure img { height: 96px; max-width: 48%; object-fit: contain; background: #e4e4e4; margin-right: .3rem }
figcaption { font-size: .8rem; overflow-wrap: anywhere } .why { color: #666 }
@media print { body { margin: 0; max-width: none; font-size: 10pt } figure { background: none; border: 1px solid #ccc } }
"""


def write_page(path, findings, title, force=False):
    """Write the page.

    Args:
        path: the `.html` file.
        findings: `judge.Findings`, judged with thumbnails.
        title: what was looked at.
        force: replace a file that is there.
    Raises:
        UserError: there is a file, or it cannot be written.
    """
    check_path(path, force)
    with atomic_write(path) as file:
        file.write(page(findings, title).encode())


def check_path(path, force=False):
    """Raise `UserError` if a page cannot be written to `path`; before the work is done."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {path}: the report is a page. Give a name that ends in .html.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--report {path}: there is no such folder. Make it, or choose another one.")
    if path.exists() and not force:
        raise UserError(f"--report {path} already exists. Choose another name, or add --force to replace it.")


def page(findings, title):
    """The page as text. At most `limits.shown` thumbnails of each kind; what is not shown is counted."""
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{_text(title)}: what to look at</title><style>{STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1><p>{findings.pictures} pictures, {findings.readable} of them can be read.</p>",
        *(f"<p>{number} left out: {_text(reason)}</p>" for reason, number in findings.left_out.items()),
        *(f"<p>{_text(note)}</p>" for note in findings.notes),
        _contents(findings),
        *(_section(kind, found, findings) for kind, found in findings.kinds.items()),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _text(text):
    """Text for a page: shortened, markup taken for text, its direction kept to itself, no control characters."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return html.escape(plain)


def _contents(findings):
    rows = [
        f'<tr><td>{len(found)}</td><td><a href="#{kind}">{kind}</a></td><td>{_text(KINDS[kind])}</td></tr>'
        for kind, found in findings.kinds.items()
    ]
    return f"<table>{''.join(rows)}</table>" if rows else "<p>Nothing was found.</p>"


def _section(kind, found, findings):
    shown = found[: findings.limits.shown]
    figures = "".join(_figure(finding, findings.thumbnails, kind in COPIES) for finding in shown)
    more = (
        f"<p>and {len(found) - len(shown)} more: sgtool prepare --check --json lists all.</p>" if len(found) > len(shown) else ""
    )
    what = f'<h2 id="{kind}">{kind}: {len(found)}</h2><p>{_text(KINDS[kind])}</p>'
    return f'<section>{what}<div class="sheet">{figures}</div>{more}</section>'


def _figure(finding, thumbnails, pair):
    pictures = _picture(finding.name, thumbnails) + (_picture(finding.kept, thumbnails) if pair else "")
    words = f'<bdi>{_text(finding.name)}</bdi><br><span class="why"><bdi>{_text(finding.reason)}</bdi></span>'
    return f"<figure>{pictures}<figcaption>{words}</figcaption></figure>\n"


def _picture(name, thumbnails):
    if name not in thumbnails:
        return ""
    data = base64.b64encode(thumbnails[name]).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'
