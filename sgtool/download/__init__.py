"""Files from the web, in a cache: fetched once, whole or not at all, and checked whenever they are used."""

from sgtool.download.address import shown
from sgtool.download.cache import cached_path, fetch, is_offline

__all__ = ["cached_path", "fetch", "is_offline", "shown"]
