"""The corpus and its tools are modules of this folder, which processes of their own import too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
