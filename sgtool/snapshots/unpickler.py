"""An interpreter of pickles that makes plain values and inert ones, and can do nothing else.

Nothing of Python's pickle module is used, and no class or function is ever looked up by the name that a file gives. A name
is a key of a closed dict, `vocabulary`; what stands there is one of our own `Maker`s. Long runs of bytes, such as the
numbers of a network, are not read: they come out as `Span`s.
"""

import codecs

from sgtool.snapshots.inert import Unfinished, Unlisted, check_finite, kind_of
from sgtool.snapshots.literals import LONG
from sgtool.snapshots.opcodes import HANDLERS
from sgtool.snapshots.spans import Stored, damaged
from sgtool.snapshots.stream import Budget, Stream

MOST_ODD_KEYS = 4_000  # dict keys that a file could choose such that they collide


class Machine:
    """One run over one pickle. `stack` are the values since the last mark, `below` the stacks under it."""

    def __init__(self, stream, vocabulary, budget, persistent=None, nested=False):
        self.stream, self.vocabulary, self.budget = stream, vocabulary, budget
        self.persistent = persistent  # function of an id -> value, for what the pickle refers to outside of it
        self.nested = nested  # it is a pickle within a pickle
        self.stack, self.below, self.memo = [], [], {}
        self.odd_keys = 0
        self.storages = {}  # {place of a nested stream: Storage}

    def run(self):
        """Interpret opcodes until STOP. Returns the value; the stream stands behind it."""
        stream, budget = self.stream, self.budget
        try:
            while True:
                if stream.at > stream.low:
                    stream.fill(1)
                code = stream.data[stream.at]
                stream.at += 1
                budget.work -= 1
                if budget.work < 0:
                    budget.spend(0)
                if code == 0x2E:  # STOP
                    value = self.stack.pop()
                    check_finite(value)
                    return value
                HANDLERS[code](self)
        except IndexError as error:  # of an empty stack, or the end of the data
            raise damaged("it breaks off or its parts do not fit together") from error

    def pop_mark(self):
        """Return the values since the last mark, as a list, and forget the mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def put(self, place):
        """Remember the value on top."""
        value = self.stack[-1]
        self.memo[place] = value
        self.budget.work -= 1  # a place in the memo takes as much memory as the value
        if isinstance(value, Unfinished):
            value.places.append(place)

    def get(self, place):
        """Put a remembered value on top."""
        if place not in self.memo:
            raise damaged("it refers to a part that it does not have")
        self.stack.append(self.memo[place])

    def find(self, module, name):
        """Put what the vocabulary has for a name on top."""
        if type(module) is not str or type(name) is not str:
            raise damaged("it asks for something whose name is no text")
        found = self.vocabulary.get(f"{module} {name}")
        if found is None:
            raise Unlisted(f"{module}.{name}" if module else name)
        self.stack.append(found)

    def text(self, data, decode=codecs.utf_8_decode):
        """Return bytes as str. Halves of characters (surrogates), which can be neither printed nor stored, become "?".

        Args:
            decode: a function of codecs: what is looked up by the name of an encoding could be imported.
        """
        self.budget.spend(len(data) >> 4)
        try:
            text, size = decode(data, "surrogatepass")
        except UnicodeDecodeError as error:
            raise damaged("a text of it is not text") from error
        if size != len(data):
            raise damaged("a text of it is not text")
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

    def key(self, value):
        """Return a value that may be the key of a dict; raise `Refused` for any other.

        Large numbers, numbers with a fraction and tuples can be chosen such that all collide, which makes a dict slow; so
        there may be some (optimizers count by tensors, old ones by addresses in memory) but not many.
        """
        kind = type(value)
        if kind is str or value is None or kind is bool or (kind is bytes and len(value) <= LONG):
            return value
        if kind is int and -(2**32) < value < 2**32:
            return value
        parts = value if kind is tuple else (value,)
        if len(parts) > 16 or not all(_is_simple(part) for part in parts):
            raise damaged(f"it has {kind_of(value)} for a key")
        self.odd_keys += 1
        if self.odd_keys > MOST_ODD_KEYS:
            raise damaged("it has thousands of keys that are no texts")
        return value


def unpickle(span, vocabulary, persistent=None, budget=None):
    """Interpret the pickle at the start of a span.

    Args:
        span: `Span`.
        vocabulary: {"module name": Maker or a harmless value}, all that the pickle may ask for.
        persistent: function of a persistent id -> value; None = it may have none.
        budget: `Budget`; None = of the span's size.
    Returns:
        (value, number of bytes). The value has dicts, lists, tuples, sets, numbers, texts (`LongText` if longer than
        `LONG_TEXT`), bytes (`Span` if longer than `LONG`) and what the makers make. It does not contain itself and is at
        most `inert.MOST_LEVELS` deep.
    Raises:
        Refused: it asks for a name that is not in the vocabulary, or is damaged.
    """
    stream = Stream(span)
    value = Machine(stream, vocabulary, budget or Budget(len(span)), persistent).run()
    return value, stream.position


def _is_simple(value):
    kind = type(value)
    return kind in (str, bool, type(None), Stored) or (kind in (int, float) and -(2**64) < value < 2**64)
