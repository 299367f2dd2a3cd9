"""LSUN: an LMDB folder of pictures (`bedroom_train_lmdb/data.mdb`). Keys are hexadecimal digits, values WebP or JPEG files.

F. Yu et al.: LSUN (2015), https://github.com/fyu/lsun. An LMDB is a B+ tree of pages; its parts are described in LMDB's mdb.c
(https://github.com/LMDB/lmdb, "Page headers", "Node headers", "Meta page content"). The tree is walked once, and pictures are
then read as ranges of bytes of the file. LMDB itself maps the file into memory and trusts every page number in it, so that a
damaged file ends the whole process.
"""

import struct
from array import array
from pathlib import Path

import numpy as np

from sgtool.datasets.sources.pictures import SpanPicture, open_regular, stamp_of
from sgtool.datasets.sources.source import Source
from sgtool.errors import UserError

DATA = "data.mdb"
MAGIC, VERSION = 0xBEEFC0DE, 1
# Magic, version, address, map size; two databases (free pages, pictures); last page, transaction.
META = struct.Struct("<IIQQ IHHQQQQQ IHHQQQQQ QQ")
PAGE_SIZE, ENTRIES, ROOT, TRANSACTION = 4, 18, 19, 21  # places in what it unpacks to
PAGE = struct.Struct("<QHHHH")  # number, unused, flags, end of the list of nodes, start of the nodes
NODE = struct.Struct("<HHHH")  # low and high half of a size or page number, flags or more of it, bytes of the key
BRANCH, LEAF = 1, 2  # flags of a page
ELSEWHERE = 1  # flag of a node: its value lies in pages of its own
NONE = (1 << 64) - 1
DEEPEST = 64  # levels


class Damaged(ValueError):
    """The pages do not fit together."""


def is_lmdb(folder):
    """Tell whether a folder holds an LMDB."""
    return (Path(folder) / DATA).is_file()


def lsun_source(folder):
    """The pictures of an LMDB, in the order of their keys, which are their names.

    Raises:
        UserError: the file is damaged, or holds nothing.
    """
    path = Path(folder) / DATA
    stamp = stamp_of(path)
    try:
        with open_regular(path) as file:
            tree = Tree(file, stamp[0])
    except (Damaged, struct.error) as error:
        raise UserError(f"{path} cannot be read as an LMDB: {error}. Download or copy it again.") from error
    if not tree.names:
        raise UserError(f"{path} holds no picture. Give another LMDB.")
    if len(set(tree.names)) < len(tree.names):
        raise UserError(f"{path} cannot be read as an LMDB: it has a key twice. Download or copy it again.")
    where, spans = str(path), np.array(tree.spans, np.int64).reshape(-1, 2)
    return Source(tree.names, lambda i: SpanPicture(where, stamp, *spans[i].tolist()), stamps=[(where, *stamp)])


class Tree:
    """The keys of an LMDB and where their values lie.

    Attributes:
        names: keys as text.
        spans: offset and size of each value, one after the other.
    """

    def __init__(self, file, total):
        self.file, self.total = file, total
        self.names, self.spans = [], array("q")
        meta = self._newest_meta()
        self.page_size = meta[PAGE_SIZE]
        self.seen = bytearray(total // self.page_size + 1)
        if meta[ROOT] != NONE:
            self._walk(meta[ROOT], 0)
        if len(self.names) != meta[ENTRIES]:
            raise Damaged(f"it has {len(self.names)} entries, but says {meta[ENTRIES]}")

    def _newest_meta(self):
        """Find the newer of the two descriptions that it begins with."""
        self.file.seek(0)
        metas = [_meta(self.file.read(PAGE.size + META.size))]
        size = metas[0][PAGE_SIZE] if metas[0] else 4096
        self.file.seek(size)
        metas.append(_meta(self.file.read(PAGE.size + META.size)))
        if self.total < 2 * size:
            raise Damaged("it is cut off")
        metas = [meta for meta in metas if meta is not None]
        if not metas:
            raise Damaged("it does not begin like one (of version 1, and a machine of 64 bits)")
        return max(metas, key=lambda meta: meta[TRANSACTION])

    def _page(self, number):
        """Return a page's bytes, its flags and the places of its nodes. Each page is read once at most."""
        if number >= len(self.seen) or self.seen[number]:
            raise Damaged(f"it refers to page {number}, which it does not have or has used already")
        self.seen[number] = 1
        self.file.seek(number * self.page_size)
        data = self.file.read(self.page_size)
        if len(data) < self.page_size:
            raise Damaged("it is cut off")
        own, _, flags, low, _ = PAGE.unpack_from(data)
        if own != number or not PAGE.size <= low <= self.page_size:
            raise Damaged(f"page {number} is not one")
        return data, flags, struct.unpack_from(f"<{(low - PAGE.size) // 2}H", data, PAGE.size)

    def _walk(self, number, depth):
        data, flags, nodes = self._page(number)
        if depth > DEEPEST or flags & (BRANCH | LEAF) not in (BRANCH, LEAF):
            raise Damaged(f"page {number} is neither a branch nor a leaf")
        for at in nodes:
            low, high, more, key_size = NODE.unpack_from(data, at)
            if flags & BRANCH:
                self._walk(low | high << 16 | more << 32, depth + 1)
            else:
                start = at + NODE.size + key_size
                if start > len(data):
                    raise Damaged(f"page {number} has a key that breaks off")
                self._add(data, number, at + NODE.size, start, low | high << 16, more)

    def _add(self, data, number, key, start, size, flags):
        """Note an entry: its key lies at `key` up to `start` in a page, its value of `size` bytes behind it or elsewhere."""
        if flags == ELSEWHERE:
            (page,) = struct.unpack_from("<Q", data, start)
            offset = page * self.page_size + PAGE.size
            if offset + size > self.total:
                raise Damaged("it is cut off")
        elif flags == 0 and start + size <= len(data):
            offset = number * self.page_size + start
        else:
            raise Damaged("it holds something other than pictures by key")
        self.names.append(_name(data[key:start]))
        self.spans.extend((offset, size))


def _meta(page):
    if len(page) < PAGE.size + META.size:
        return None
    meta = META.unpack_from(page, PAGE.size)
    fits = meta[0] == MAGIC and meta[1] == VERSION and meta[PAGE_SIZE] in (1 << n for n in range(9, 17))
    return meta if fits else None


def _name(key):
    text = key.decode("latin1")
    return text if text.isascii() and text.isprintable() else "0x" + key.hex()
