"""The corpus of hostile files: {name: Case}. Each file is built on the spot, by code that a reader can follow."""

from collections.abc import Callable
from dataclasses import dataclass

CASES = {}
MARKER = "it-ran"  # the folder that a payload makes in its working directory, if it runs


@dataclass(frozen=True)
class Case:
    """A hostile file."""

    build: Callable  # (an empty folder) -> path of the file, or its bytes
    words: tuple = ()  # what the refusal has to say
    harmless: bool = False  # it may be opened as well, if nothing happens

    def path(self, folder):
        """Build it in an empty folder. Returns the path to open."""
        made = self.build(folder)
        if not isinstance(made, (bytes, bytearray)):
            return made
        path = folder / "model.pkl"
        path.write_bytes(made)
        return path


def add(name, build, *words, harmless=False):
    """Enter a case under a name of its own.

    Args:
        name: what is hostile about it, in words.
        build: bytes, or a function of no argument that makes them, or of a folder that makes a path there.
        words: parts of the message that has to come.
        harmless: the file may also open, if nothing else happens.
    """
    if name in CASES:
        raise ValueError(f"two hostile files are called {name!r}")
    if isinstance(build, (bytes, bytearray)):
        CASES[name] = Case(lambda folder: build, words, harmless)
    elif build.__code__.co_argcount - len(build.__defaults__ or ()):
        CASES[name] = Case(build, words, harmless)
    else:
        CASES[name] = Case(lambda folder: build(), words, harmless)


def collect():
    """Import the modules that enter cases. Returns `CASES`."""
    import corpus_archives  # noqa: F401
    import corpus_bombs  # noqa: F401
    import corpus_descriptions  # noqa: F401
    import corpus_names  # noqa: F401
    import corpus_opcodes  # noqa: F401
    import corpus_places  # noqa: F401
    import corpus_tensors  # noqa: F401

    return CASES
