"""A real browser, spoken to in its own protocol over a pair of pipes; a run folder as training leaves it."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """Chromium without a window. Messages are JSON, ended by a zero byte (Chrome DevTools Protocol)."""

    def __init__(self, program, profile):
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()

        def wire():  # the browser reads from descriptor 3 and writes to 4
            spare = [os.dup(commands), os.dup(answers)]
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        self._process = subprocess.Popen(
            [program, *SWITCHES, f"--user-data-dir={profile}", "about:blank"], preexec_fn=wire, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._ids, self._buffer, self.events = itertools.count(1), b"", []
        target = next(t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _call(self, method, session=None, **params):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(60)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(end - time.monotonic(), 0))
            data = os.read(self._from, 1 << 20) if ready else b""
            assert data, "the browser does not answer"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        """Send a command to the page and return its result."""
        return self._call(method, self._session, **params)

    def open(self, path, width=1280, height=900, dark=False, print_media=False):
        """Open a file; wait until it is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", media="print" if print_media else "",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])  # fmt: skip
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, expression):
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression, seconds=30):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def errors(self):
        """What the page or the browser complained of since it was opened, and addresses that it asked for."""
        self.run("1")
        told = [(event.get("method"), event.get("params")) for event in self.events]
        thrown = [about["exceptionDetails"] for what, about in told if what == "Runtime.exceptionThrown"]
        found = [details.get("exception", {}).get("description") or details["text"] for details in thrown]
        found += [about["entry"]["text"] for what, about in told if what == "Log.entryAdded"]
        asked = [about["request"]["url"] for what, about in told if what == "Network.requestWillBeSent"]
        return found + [url[:200] for url in asked[1:] if not url.startswith("data:")]  # the first is the page itself

    def place(self, selector):
        """Middle of an element, scrolled into view: (x, y, width)."""
        return self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}}); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2, r.width]; })()"
        )

    def mouse(self, kind, x, y):
        """Move, press or release the mouse."""
        pressed = {} if kind == "Moved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **pressed)

    def click(self, selector):
        """Click in the middle of an element."""
        x, y, _ = self.place(selector)
        for kind in ("Moved", "Pressed", "Released"):
            self.mouse(kind, x, y)

    def key(self, key):
        """Press and release a key."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def picture(self, path, whole=True):
        """Keep what is seen as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 8000), "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **({"clip": clip} if whole else {}))
        path.write_bytes(base64.b64decode(data["data"]))

    def close(self):
        """End the browser and what it started."""
        for descriptor in (self._to, self._from):
            os.close(descriptor)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A `Browser`; skips where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None or os.name != "posix":
        pytest.skip(f"none of {', '.join(NAMES)} is installed: no browser to look at the page with")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tick(number, kimg=None, **more):
    """A line of stats.jsonl."""
    kimg = number if kimg is None else kimg
    means = {
        "Loss/G/loss": 1 + np.sin(number / 5), "Loss/D/loss": 0.7, "Loss/scores/real": 0.5, "Loss/scores/fake": -0.5,
        "Loss/signs/real": 0.3, "Loss/r1_penalty": 10.0 ** -(number % 5), "Progress/tick": number, "Progress/kimg": kimg,
        "Progress/rt": 0.4, "Progress/augment": number / 1000, "Timing/sec_per_kimg": 2.5, "Timing/sec_per_tick": 2.5,
        "Timing/total_sec": 2.5 * number, "Timing/data_sec": 0.01, "Timing/maintenance_sec": 0.2,
        "Resources/cpu_mem_gb": 1.5, "Resources/peak_gpu_mem_gb": 0.0, "Gradients/G/norm": 2.0, **more,
    }  # fmt: skip
    row = {name: {"num": 1, "mean": float(mean), "std": 0.0} for name, mean in means.items()}
    return row | {"nimg": int(kimg * 1000), "timestamp": 1.8e9 + number}


def sheet(path, level, cell=8, columns=12, rows=12):
    """A sheet of cells of one grey level each."""
    Image.fromarray(np.full([rows * cell, columns * cell], level, np.uint8)).save(path)


OPTIONS = {
    "sgtool_version": "0.1.0", "data": "/data/digits.zip", "options": {"gamma": 1.0},
    "config": {"dataset": "digits", "num_images": 1797, "height": 8, "width": 8, "channels": 1, "c_dim": 10, "cfg": "tiny",
               "kimg": 40, "gamma": 1.0, "aug": "ada", "target": 0.6, "p_max": 0.8, "generator": None},
    "reasons": {"gamma": "as asked", "kimg": "preset tiny"},
}  # fmt: skip


@pytest.fixture
def make_run(tmp_path):
    """Makes a run folder: make_run(name, ticks, options)."""

    def make(name="00000-digits-tiny1", ticks=20, **config):
        folder = tmp_path / name
        folder.mkdir()
        lines(folder / "stats.jsonl", [tick(number) for number in range(ticks)])
        options = OPTIONS | {"config": OPTIONS["config"] | config}
        (folder / "training_options.json").write_text(json.dumps(options), encoding="utf-8")
        for i, level in enumerate((0, 80, 160, 240)):
            sheet(folder / ("fakes_init.png" if i == 0 else f"fakes{i * 5 - 5:06d}.png"), level)
        sheet(folder / "reals.png", 200)
        swd = [(5, 12.0, 11.0, 13.0), (10, 9.0, 8.5, 9.5), (15, 10.0, 9.0, 11.0)]
        rows = [{"nimg": k * 1000, "results": {"swd16k": v}, "intervals": {"swd16k": [a, b]}} for k, v, a, b in swd]
        lines(folder / "metric-swd16k.jsonl", rows)
        rollback = {"kind": "rollback", "text": "losses were no numbers", "nimg": 7000, "timestamp": 1.8e9 + 7}
        lines(folder / "events.jsonl", [{"kind": "start", "text": "a new run", "nimg": 0, "timestamp": 1.8e9}, rollback])
        (folder / "log.txt").write_text("Data: digits\nWarning: little memory\nWarning: little memory\n", encoding="utf-8")
        return folder

    return make
