"""Where pictures come from: folders, archives, the files of well-known collections, arrays, videos.

A source has an ordered list of names and gives, for each, a small object that a worker process can open. The order is
that of the sorted names, or of the file, so that a source always gives the same dataset.
"""

from sgtool.datasets.sources.decode import examine, full_size_of, load, notes_of
from sgtool.datasets.sources.detect import check_there, open_source
from sgtool.datasets.sources.formats import EXTENSIONS, FORMATS, formats, is_picture_name
from sgtool.datasets.sources.frames import file_of
from sgtool.datasets.sources.kept import close_files
from sgtool.datasets.sources.pictures import ArrayPicture, FilePicture, Raw
from sgtool.datasets.sources.source import Source

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "ArrayPicture",
    "FilePicture",
    "Raw",
    "Source",
    "check_there",
    "close_files",
    "examine",
    "file_of",
    "formats",
    "full_size_of",
    "is_picture_name",
    "load",
    "notes_of",
    "open_source",
]
