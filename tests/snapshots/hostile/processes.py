"""Opens files under the audit hook in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

AUDIT = Path(__file__).with_name("audit.py")
SECONDS = 300  # for a whole batch


def examined(mode, names):
    """Open files in a process of its own; in another one from there on, if that dies.

    Args:
        mode: "cases", "files" or "careless", see audit.py.
        names: of cases, or paths.
    Returns:
        {name: record}, see `audit.examine`; outcome "crash" where the process died.
    """
    records, left = {}, [str(name) for name in names]
    while left:
        found, begun, end = _run(mode, left)
        records |= found
        left = [name for name in left if name not in records]
        if left and begun not in left:
            raise RuntimeError(f"the process that opens files did not begin: {end}")
        if left:
            records[begun] = {"outcome": "crash", "message": end, "events": [], "seconds": 0, "peak": 0, "made": []}
            left.remove(begun)
    return records


def _run(mode, names):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, str(AUDIT), mode],
            input=json.dumps(names),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=environment,
        )
        lines, end = done.stdout, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    except subprocess.TimeoutExpired as stopped:
        lines, end = (stopped.stdout or b"").decode(), f"stopped after {SECONDS} seconds"
    records, begun = {}, None
    for line in lines.splitlines():
        entry = json.loads(line)
        if "begins" in entry:
            begun = entry["begins"]
        else:
            records[entry["name"]] = entry
    return records, begun, end
