"""Contact sheets of the faces that were found, written from the thumbnails in the shards."""

import io
from pathlib import Path

from PIL import Image

from sgtool.datasets.face_sheet import ContactSheets

FOLDER = "sheets"


def write_sheets(place, path, source, records):
    """Write the pages of a contact sheet into the work folder.

    Args:
        place: `Workplace`.
        path: of the first page, as the user gave it.
        source: `sources.Source`.
        records: of all shards, in order.
    Returns:
        list of [name in the work folder, absolute path], see `merge.publish`.
    """
    folder = place.folder / FOLDER
    folder.mkdir(exist_ok=True)
    with ContactSheets(folder / Path(path).name) as sheets:
        for record in records:
            if "thumbnail" in record.extra:
                with Image.open(io.BytesIO(record.extra["thumbnail"])) as image:
                    sheets.add(source.names[record.index], image.convert("RGB"))
    return [[f"{FOLDER}/{page.name}", str(Path(path).absolute().with_name(page.name))] for page in sheets.paths]
