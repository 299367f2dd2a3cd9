import pickle
import subprocess
import sys

import numpy as np
import pytest
from source_makers import encoded, picture

from sgtool.datasets.sources import close_files, examine, load, open_source, video
from sgtool.datasets.transforms import Skip
from sgtool.errors import UserError

ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="videos are read by ffmpeg, which imageio-ffmpeg brings").get_ffmpeg_exe()
WIDTH, HEIGHT, FRAMES = 64, 48, 90
BITS = 8


def numbered(number):
    """A frame that shows its number: 8 bars, white for a one, and grey below that tell left from right."""
    frame = np.zeros([HEIGHT, WIDTH, 3], np.uint8)
    for bit in range(BITS):
        frame[: HEIGHT // 2, bit * 8 : bit * 8 + 8] = 255 * (number >> bit & 1)
    frame[HEIGHT // 2 :, : WIDTH // 2] = 128
    return frame


def number_in(image):
    """The number that a decoded frame shows."""
    pixels = np.asarray(image.convert("L")).astype(int)
    assert pixels.shape == (HEIGHT, WIDTH)
    assert abs(pixels[40, 16] - 128) < 20
    assert pixels[40, 48] < 20
    return sum((pixels[12, bit * 8 + 4] > 128) << bit for bit in range(BITS))


def write_video(path, frames=FRAMES, output=("-c:v", "libx264", "-g", "25", "-bf", "2"), before=(), after=()):
    command = [ffmpeg, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25"]
    command += [*before, "-i", "-", "-pix_fmt", "yuv420p", *output, *after, str(path)]
    subprocess.run(command, input=b"".join(numbered(i).tobytes() for i in range(frames)), check=True)
    return path


AS_IT_IS = ("-fps_mode", "passthrough")
KINDS = {
    "mp4": ("a.mp4", ("-c:v", "libx264", "-g", "25", "-bf", "2")),
    "mov": ("a.mov", ("-c:v", "mpeg4", "-g", "12", "-bf", "2", "-q:v", "3")),
    "mkv": ("a.mkv", ("-c:v", "libx264", "-g", "25", "-bf", "3")),
    "webm": ("a.webm", ("-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime", "-g", "20")),
    "avi": ("a.avi", ("-c:v", "mpeg4", "-bf", "2", "-q:v", "3")),
    "uneven times": (
        "a.mkv",
        ("-c:v", "libx264", "-vf", "setpts=(N+floor(N/7)*3)/25/TB", *AS_IT_IS, "-bf", "2"),
    ),
    "late start": ("a.mkv", ("-c:v", "libx264", "-vf", "setpts=N/25/TB+7/TB", *AS_IT_IS, "-g", "25")),
}


@pytest.fixture(params=KINDS)
def clip(tmp_path, request):
    name, output = KINDS[request.param]
    return write_video(tmp_path / name, output=output)


def test_every_frame_is_the_one_that_its_name_says_in_any_order(clip, monkeypatch):
    monkeypatch.setattr(video, "BLOCK", 16)
    source = open_source(clip)
    assert source.names == [f"{clip.name}#{i:06d}" for i in range(FRAMES)]
    order = [*range(FRAMES), 50, 3, 88, 49, 17, 16, 15, 0]
    assert [number_in(load(source.picture(i))) for i in order] == order


def test_frames_are_thinned_out(clip, monkeypatch):
    monkeypatch.setattr(video, "BLOCK", 16)
    source = open_source(clip, every=7)
    assert source.names == [f"{clip.name}#{i:06d}" for i in range(0, FRAMES, 7)]
    assert source.warnings == []
    for i in (0, 1, 2, 12, 5):
        assert number_in(load(source.picture(i))) == 7 * i


def test_a_frame_does_not_depend_on_what_was_read_before(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "BLOCK", 16)
    source = open_source(write_video(tmp_path / "a.mp4"))
    in_order = {i: np.asarray(load(source.picture(i))) for i in range(40)}
    for i in (33, 20, 39):
        close_files()
        np.testing.assert_array_equal(np.asarray(load(source.picture(i))), in_order[i])


def test_all_frames_of_nothing_but_videos_are_warned_about(tmp_path):
    write_video(tmp_path / "a.mp4", 5)
    (tmp_path / "notes.txt").write_text("x")
    source = open_source(tmp_path)
    assert len(source.names) == 5
    assert "Every frame of the video was taken" in source.warnings[0]
    assert source.ignored_files == 1
    assert source.counts == {"not pictures": 1}


def test_a_frame_is_small_to_pickle_and_known_in_size(tmp_path):
    source = open_source(write_video(tmp_path / "a.mp4", 5))
    assert len(pickle.dumps(source.picture(4))) < 400
    assert examine(source.picture(4)) == ((WIDTH, HEIGHT), "RGB")


def test_the_rotation_that_a_phone_notes_is_applied(tmp_path):
    plain = write_video(tmp_path / "plain.mp4", 5)
    turned = tmp_path / "turned.mp4"
    subprocess.run([ffmpeg, "-loglevel", "error", "-display_rotation", "90", "-i", plain, "-c", "copy", turned], check=True)
    upright = load(open_source(turned).picture(3))
    assert upright.size == (HEIGHT, WIDTH)
    back = upright.rotate(-90, expand=True)  # the video says: turn it by 90 degrees counterclockwise
    assert number_in(back) == 3


def test_videos_beside_pictures_are_left_out_and_said_unless_frames_are_asked_for(tmp_path):
    write_video(tmp_path / "b.mp4", 5)
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    (tmp_path / "c.png").write_bytes(encoded(picture()))
    source = open_source(tmp_path)
    assert source.names == ["a.png", "c.png"]
    assert "1 videos beside the pictures were left out" in source.warnings[0]
    source = open_source(tmp_path, every=2)
    assert source.names == ["a.png", "b.mp4#000000", "b.mp4#000002", "b.mp4#000004", "c.png"]
    assert number_in(load(source.picture(3))) == 4
    np.testing.assert_array_equal(np.asarray(load(source.picture(4))), picture())


def test_a_video_that_cannot_be_read_is_one_skip_with_its_reason(tmp_path):
    write_video(tmp_path / "a.mp4", 5)
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    (tmp_path / "c.mp4").write_bytes(b"")
    source = open_source(tmp_path)
    assert source.names[5:] == ["b.mp4", "c.mp4"]
    for i in (5, 6):
        with pytest.raises(Skip, match="not a readable video") as caught:
            load(source.picture(i))
        assert caught.value.unreadable


def test_a_video_that_is_cut_off_gives_frames_up_to_there(tmp_path):
    path = write_video(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(path)
    assert 10 < len(source.names) < FRAMES
    assert number_in(load(source.picture(5))) == 5


def test_frames_that_are_missing_are_skips(tmp_path):
    path = write_video(tmp_path / "a.mkv")
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half : half + 600] = bytes(600)
    path.write_bytes(data)
    source = open_source(path)
    outcomes = []
    for i in range(len(source.names)):
        try:
            outcomes.append(load(source.picture(i)).size)
        except Skip as skip:
            outcomes.append(str(skip))
    assert outcomes[0] == (WIDTH, HEIGHT)
    assert set(outcomes) <= {(WIDTH, HEIGHT), "the video cannot be decoded up to this frame"}


def test_a_playlist_under_a_videos_name_opens_nothing_else(tmp_path):
    secret = write_video(tmp_path / "secret.ts", 5)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n"
    (tmp_path / "a.mp4").write_text(playlist)
    (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    source = open_source(tmp_path)
    assert source.names == ["a.mp4", "b.mp4"]
    for i in range(2):
        with pytest.raises(Skip, match="not a readable video"):
            load(source.picture(i))


def test_names_that_look_like_options_or_addresses_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-loglevel.mp4", "http:x.mp4", "a%03d.mp4"):
        write_video(tmp_path / name, 3)
        assert number_in(load(open_source(name).picture(2))) == 2


def test_a_distance_for_what_is_no_video_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    with pytest.raises(UserError, match="--every 5: .* holds no video"):
        open_source(tmp_path, every=5)


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 3)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"pip install 'sgtool\[video\]'"):
        open_source(path)
