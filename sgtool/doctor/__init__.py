"""What this machine can do for sgtool: one check after the other, each of which gives rows with a state and a remedy.

PyTorch is imported by the checks that need it, so that a broken PyTorch is a row too.
"""

from sgtool.doctor.checks import examine, examine_links
from sgtool.doctor.rows import Row, as_json, exit_code, line, verdict

__all__ = ["Row", "as_json", "examine", "examine_links", "exit_code", "line", "verdict"]
