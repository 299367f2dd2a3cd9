"""Frames into files: an outside reader gets back what was put in; whole or not at all; memory does not grow."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sgtool import images
from sgtool.errors import UserError
from sgtool.latents import encode_ffmpeg
from sgtool.latents.encode import check_output, on_background, open_writer
from sgtool.latents.recipes import is_ours, recipe_of, refuse_strangers

FFMPEG = pytest.importorskip(
    "imageio_ffmpeg", reason="videos are written by ffmpeg, which imageio-ffmpeg brings"
).get_ffmpeg_exe()
RECIPE = {"seed": 3, "note": "a=b;#c\\ \n\N{SNOWMAN}", "long": "x" * 3000}
SIZE = 20, 32  # height, width


def frame(number, channels, size=SIZE):
    """A ramp with a bright box that moves; where there is alpha, a hole that moves too."""
    height, width = size
    ramp = np.linspace(0, 150, height)[:, None] + np.linspace(0, 90, width)
    picture = np.stack([ramp if i % 2 else ramp[::-1, ::-1] for i in range(channels)], axis=2).astype(np.uint8)
    picture[4:10, 2 * number : 2 * number + 6] = 255
    if channels in (2, 4):
        picture[:, :, -1] = 255
        picture[11:18, 2 * number : 2 * number + 8, -1] = 0
    return picture


def write(path, channels=3, number=6, size=SIZE, fps=10, **options):
    check_output(path, fps, options.get("codec"), options.get("quality"))
    with open_writer(path, size, fps, channels, recipe=RECIPE, **options) as video:
        for i in range(number):
            video.put(frame(i, channels, size))


def animation(path):
    """[(RGBA pixels, milliseconds)] by Pillow."""
    with Image.open(path) as image:
        found = []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            found.append((np.asarray(image.convert("RGBA")).astype(int), image.info["duration"]))
        return found


def decoded(path, pixels="rgb24"):
    """([frames], (height, width), what ffmpeg says of the file), by ffmpeg."""
    before = ["-c:v", "libvpx-vp9"] if path.suffix == ".webm" else []  # ffmpeg's own decoder leaves alpha out
    command = [FFMPEG, *before, "-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", pixels, "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    told = done.stderr.decode()
    width, height = map(int, re.search(r"Video: .*?, (\d+)x(\d+)", told).groups())
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, {"rgb24": 3, "rgba": 4}[pixels])
    return frames.astype(int), (height, width), told


def rgba(number, channels, size=SIZE):
    return np.asarray(images.to_pil(frame(number, channels, size)).convert("RGBA")).astype(int)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("ending", [".webp", ".apng", ".png"])
def test_pillow_reads_back_every_pixel_of_apng_and_webp(tmp_path, ending, channels):
    write(tmp_path / f"a{ending}", channels, size=(21, 33))
    found = animation(tmp_path / f"a{ending}")
    assert len(found) == 6
    for i, (pixels, duration) in enumerate(found):
        np.testing.assert_array_equal(pixels, rgba(i, channels, (21, 33)))
        assert duration == 100


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_gif_is_right_up_to_its_256_colours_and_its_one_bit_of_alpha(tmp_path, channels):
    write(tmp_path / "a.gif", channels)
    for i, (pixels, duration) in enumerate(animation(tmp_path / "a.gif")):
        expected = rgba(i, channels)
        assert duration == 100
        np.testing.assert_array_equal(pixels[:, :, 3], expected[:, :, 3])
        seen = expected[:, :, 3] == 255
        error = np.abs(pixels - expected)[seen].max()
        assert error == 0 if channels < 3 else error <= 24


def test_a_gif_of_few_colours_is_exact_and_one_of_many_is_close_on_average(tmp_path):
    colours = np.random.RandomState(1).randint(0, 256, [256, 3]).astype(np.uint8)
    few = np.kron(colours.reshape(16, 16, 3), np.ones([4, 4, 1], np.uint8))
    many = np.random.RandomState(0).randint(60, 188, [64, 64, 3]).astype(np.uint8)
    with open_writer(tmp_path / "a.gif", (64, 64), 10, 3) as video:
        video.put(few)
        video.put(many)
    for found in ([pixels[:, :, :3] for pixels, _ in animation(tmp_path / "a.gif")], decoded(tmp_path / "a.gif")[0]):
        np.testing.assert_array_equal(found[0], few)
        assert np.abs(found[1] - many).mean() < 8


def test_equal_frames_keep_their_time(tmp_path):
    for ending in (".gif", ".webp", ".apng"):
        with open_writer(tmp_path / f"a{ending}", SIZE, 10, 3) as video:
            for _ in range(4):
                video.put(frame(0, 3))
        assert sum(duration for _, duration in animation(tmp_path / f"a{ending}")) == 400


@pytest.mark.parametrize(("ending", "fps"), [(".gif", 30), (".gif", 50), (".webp", 60), (".apng", 60), (".webp", 23.976)])
def test_rounded_durations_add_up_to_the_frame_rate(tmp_path, ending, fps):
    write(tmp_path / f"a{ending}", 3, 12, fps=fps)
    unit = {".gif": 10, ".webp": 1, ".apng": 0.01}[ending]
    assert abs(sum(duration for _, duration in animation(tmp_path / f"a{ending}")) - 12000 / fps) <= unit


@pytest.mark.parametrize("ending", [".gif", ".webp", ".apng"])
def test_loop_means_for_ever_and_no_loop_once(tmp_path, ending):
    for loop in (True, False):
        write(tmp_path / f"a{ending}", loop=loop)
        with Image.open(tmp_path / f"a{ending}") as image:
            assert image.info.get("loop", 1) == (0 if loop else 1)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".webm"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_ffmpeg_reads_back_opaque_videos(tmp_path, ending, channels):
    write(tmp_path / f"a{ending}", channels, size=(64, 96), quality=8)
    frames, _, told = decoded(tmp_path / f"a{ending}")
    assert len(frames) == 6
    assert " 10 fps" in told
    for i, found in enumerate(frames):
        assert np.abs(found - rgba(i, channels, (64, 96))[:, :, :3]).mean() < 3.5


def test_colours_are_said_in_the_file_and_come_back(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [99, 133, 150]], np.uint8)
    flat = np.kron(colours[None], np.ones([16, 16, 1], np.uint8))
    with open_writer(tmp_path / "a.mp4", flat.shape[:2], 10, 3) as video:
        for _ in range(5):
            video.put(flat)
    frames, _, told = decoded(tmp_path / "a.mp4")
    assert np.abs(frames[-1][8, 8::16] - colours).max() <= 6
    assert "yuv420p(tv, bt709" in told


@pytest.mark.parametrize(("ending", "codec"), [(".webm", None), (".mov", None), (".mov", "png")])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_kept_where_the_format_can(tmp_path, ending, codec, channels):
    said = []
    write(tmp_path / f"a{ending}", channels, size=(64, 96), codec=codec, say=said.append)
    frames = decoded(tmp_path / f"a{ending}", "rgba")[0]
    assert said == []
    for i, found in enumerate(frames):
        assert np.abs(found[:, :, 3] - rgba(i, channels, (64, 96))[:, :, 3]).mean() < 4


def test_alpha_is_laid_on_the_background_where_the_format_cannot_and_that_is_said(tmp_path):
    said = []
    write(tmp_path / "a.mp4", 4, size=(64, 96), background=(0, 0, 255), say=said.append)
    assert said == ["a.mp4 keeps no transparency: pictures are laid on the background #0000ff."]
    hole = decoded(tmp_path / "a.mp4")[0][0][13:16, 2:6]
    assert np.abs(hole - [0, 0, 255]).mean() < 40


def test_compositing_is_the_formula():
    picture = np.array([[[200, 100, 0, 128], [10, 20, 30, 255], [9, 9, 9, 0]]], np.uint8)
    expected = [[round((c * a + b * (255 - a)) / 255) for c, b in zip(rgb, (0, 50, 250), strict=True)]
                for *rgb, a in picture[0].tolist()]  # fmt: skip
    np.testing.assert_array_equal(on_background(picture, (0, 50, 250))[0], expected)


def test_odd_sides_become_even_where_they_must_and_that_is_said(tmp_path):
    said = []
    write(tmp_path / "a.mp4", size=(21, 33), say=said.append)
    assert said == ["a.mp4: this codec needs even sides, so 33x21 becomes 34x22, the last row or column doubled."]
    assert decoded(tmp_path / "a.mp4")[1] == (22, 34)
    said.clear()
    write(tmp_path / "a.mov", size=(21, 33), codec="png", say=said.append)
    assert (said, decoded(tmp_path / "a.mov")[1]) == ([], (21, 33))


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "libx264", "mpeg4"])
def test_codecs_of_mp4_work(tmp_path, codec):
    write(tmp_path / "a.mp4", size=(64, 96), codec=codec)
    assert len(decoded(tmp_path / "a.mp4")[0]) == 6
    assert recipe_of(tmp_path / "a.mp4") == RECIPE


def test_quality_is_what_it_says(tmp_path):
    sizes = {}
    for name, ending, quality in [("a", ".mp4", 5), ("b", ".mp4", 40), ("c", ".webp", 95), ("d", ".webp", 5)]:
        write(tmp_path / (name + ending), size=(64, 96), quality=quality)
        sizes[name] = (tmp_path / (name + ending)).stat().st_size
    assert sizes["a"] > sizes["b"]
    assert sizes["c"] > sizes["d"]


def test_a_folder_of_frames_is_exact_and_each_frame_has_its_recipe(tmp_path):
    write(tmp_path / "frames", 4, 6)
    write(tmp_path / "frames", 4, 3)  # the longer one before leaves nothing behind
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["frame000000.png", "frame000001.png", "frame000002.png"]
    with Image.open(tmp_path / "frames/frame000002.png") as image:
        np.testing.assert_array_equal(np.asarray(image), frame(2, 4))
    assert recipe_of(tmp_path / "frames/frame000002.png") == {**RECIPE, "frame": 2}
    assert list(tmp_path.iterdir()) == [tmp_path / "frames"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm", "a.gif", "a.webp", "a.apng", "a.png", "frames"])
def test_every_format_carries_its_recipe_and_is_replaced_only_then(tmp_path, name):
    path = tmp_path / name
    write(path)
    assert {**recipe_of(path), "frame": None} == {**RECIPE, "frame": None}
    write(path, number=3)
    other = path / "mine.txt" if path.is_dir() else path
    other.write_bytes(b"mine")
    assert not is_ours(path)
    with pytest.raises(UserError, match="made by sgtool, so it is not replaced. Move it or choose another --output."):
        check_output(path)
    assert other.read_bytes() == b"mine"


def test_what_is_put_into_a_folder_of_frames_meanwhile_stays(tmp_path):
    path = tmp_path / "frames"
    write(path, 3, 6)
    with open_writer(path, SIZE, 10, 3, recipe=RECIPE) as video:
        video.put(frame(0, 3))
        (path / "notes.txt").write_text("mine")
    assert sorted(entry.name for entry in path.iterdir()) == ["frame000000.png", "notes.txt"]
    assert (path / "notes.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_strangers_pictures_are_not_ours(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", "sgtool")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif", comment=b"sgtool is nice")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.webp")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:30])
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for path in sorted(tmp_path.iterdir()):
        assert recipe_of(path) is None
        with pytest.raises(UserError, match=f"{path.name} is no (picture|video) made by sgtool"):
            refuse_strangers(tmp_path, [path.name])


def stop_in_the_middle(path):
    with open_writer(path, SIZE, 10, 3, recipe={"seed": 4}) as video:
        video.put(frame(0, 3))
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "frames"])
def test_what_fails_leaves_nothing_behind_and_what_was_there_stays(tmp_path, name):
    path = tmp_path / name
    write(path)
    before = recipe_of(path)
    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle(path)
    assert (recipe_of(path), list(tmp_path.iterdir())) == (before, [path])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.avi", {}, "a.avi: a video cannot be written as .avi. Give a name that ends in .mp4, .mov, .webm, .gif,"),
        ("a.mp4", {"fps": 0}, "--fps 0: that is no frame rate. Give a number up to 240, like 30."),
        ("a.apng", {"fps": 1e-9}, "--fps 1e-09: that is no frame rate. Give a number up to 240, like 30."),
        ("a.mp4", {"fps": float("nan")}, "--fps nan: that is no frame rate"),
        ("a.gif", {"fps": 60}, "--fps 60: a.gif shows at most 50 frames a second. Give a number up to 50, like 30."),
        ("a.gif", {"codec": "h264"}, "--codec h264 is for .mp4, .mov and .webm; a.gif has none. Leave it out."),
        ("a.gif", {"quality": 3}, "--quality 3: .webp takes 0 to 100, and .gif, .apng and frames take none."),
        ("a.webp", {"quality": 101}, "--quality 101: .webp takes 0 to 100"),
        ("a.mp4", {"quality": 60}, "--quality 60: for libx264 it goes from 0, the best, to 51."),
        ("a.mov", {"codec": "png", "quality": 6}, "--quality 6 means nothing to the codec png. Leave it out."),
        ("a.mp4", {"codec": "h266x"}, "ffmpeg stopped: Unknown encoder 'h266x'. Check --codec, --quality and the free space"),
        ("a.webm", {"codec": "h264"}, "ffmpeg stopped: Only VP8 or VP9 or AV1 video"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_first_frame(tmp_path, name, options, words):
    with pytest.raises(UserError) as error:
        write(tmp_path / name, number=0, **options)
    assert words in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_without_ffmpeg_one_sentence_says_what_to_install_and_what_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r'a.mp4 needs ffmpeg. Run: pip install "sgtool\[video\]"; or write .gif, .webp, .apng'):
        check_output(tmp_path / "a.mp4")
    write(tmp_path / "a.gif")


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--output .*file: the folder cannot be created"):
        check_output(tmp_path / "file" / "a.mp4")
    (tmp_path / "shut").mkdir(mode=0o500)
    if not os.access(tmp_path / "shut", os.W_OK):  # root may write anywhere
        with pytest.raises(UserError, match="shut cannot be written to. Choose another one."):
            check_output(tmp_path / "shut" / "a.mp4")
    for name in ("/", "", ".mp4", tmp_path / ".GIF"):
        with pytest.raises(UserError, match="is no name. Give one like walk.mp4."):
            check_output(name)


@pytest.mark.parametrize("ending", ["", ".gif", ".mp4"])
def test_a_name_that_is_too_long_is_told(tmp_path, ending):
    path = tmp_path / ("x" * 300 + ending)
    check_output(path)
    with pytest.raises(UserError, match="could not be written: File name too long"):
        write(path)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_shape_is_a_programmers_mistake(tmp_path):
    for wrong in (frame(0, 4), frame(0, 3, (8, 8)), frame(0, 3).astype(float)):
        with pytest.raises(ValueError, match="instead of"), open_writer(tmp_path / "a.gif", SIZE, 10, 3) as video:
            video.put(wrong)
    with pytest.raises(ValueError, match="no frame"), open_writer(tmp_path / "a.gif", SIZE, 10, 3):
        pass
    assert list(tmp_path.iterdir()) == []


def kill_in_the_middle(path):
    with open_writer(path, (256, 256), 10, 3) as video:
        os.kill(video.sink.process.pid, signal.SIGKILL)
        for _ in range(100):
            video.put(np.zeros([256, 256, 3], np.uint8))


def test_ffmpeg_that_dies_midway_is_told_and_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="ffmpeg stopped: it ended with SIGKILL"):
        kill_in_the_middle(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def files_of_at_most_20_kb():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_noise(path):
    rng = np.random.RandomState(0)
    with open_writer(path, (128, 128), 10, 3) as video:
        for _ in range(40):
            video.put(rng.randint(0, 256, [128, 128, 3]).astype(np.uint8))


@pytest.mark.parametrize(("name", "words"), [("a.apng", "File too large"), ("a.mp4", "ffmpeg stopped"), ("frames", "File too")])
@pytest.mark.usefixtures("files_of_at_most_20_kb")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, name, words):
    with pytest.raises(UserError, match=words):
        write_noise(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


MEASURE = """
import resource, sys
import numpy as np
from pathlib import Path
from sgtool.latents.encode import open_writer
def write(ending, number):
    rng = np.random.RandomState(0)
    with open_writer(Path(sys.argv[1]) / ("a" + ending), (96, 96), 10, 4) as video:
        for _ in range(number):
            video.put(rng.randint(0, 256, [96, 96, 4]).astype(np.uint8))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
for number in (10, 60):
    for ending in (".gif", ".webp", ".apng", ".mov"):
        write(ending, number)
"""


def test_frames_do_not_pile_up_in_memory(tmp_path):
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=True)
    peaks = [int(word) for word in done.stdout.split()]
    assert peaks[-1] - peaks[3] < 1200  # KB; 50 frames more are 1,850 KB in each of four formats, and noise does not compress


def test_ctrl_c_ends_ffmpeg_too(tmp_path):
    program = """
import signal, sys, time
import numpy as np
from sgtool.latents.encode import open_writer
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background begins without
with open_writer(sys.argv[1], (64, 64), 10, 3) as video:
    print("started", flush=True)
    while True:
        video.put(np.zeros([64, 64, 3], np.uint8))
        time.sleep(0.01)
"""
    child = subprocess.Popen([sys.executable, "-c", program, tmp_path / "a.mp4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"started\n"
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    try:
        _, words = child.communicate(timeout=60)
    finally:
        child.kill()
    assert b"KeyboardInterrupt" in words
    assert list(Path(tmp_path).iterdir()) == []


def test_codec_names_are_rows_or_encoders_of_ffmpeg():
    assert encode_ffmpeg.codec_for(".mp4", None, True).encoder == "libx264"
    assert encode_ffmpeg.codec_for(".mov", None, True).encoder == "prores_ks"
    assert encode_ffmpeg.codec_for(".webm", None, False).encoder == "libvpx-vp9"
    assert encode_ffmpeg.codec_for(".mp4", "HEVC", False).encoder == "libx265"
    assert encode_ffmpeg.codec_for(".mp4", "h264_nvenc", False).encoder == "h264_nvenc"
