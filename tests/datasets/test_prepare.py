import hashlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets import open_dataset
from sgtool.datasets.prepare import look, prepare, prepare_all, summary
from sgtool.datasets.report import reasons_told
from sgtool.errors import UserError


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def colours(number, width=8, height=8, channels=3, seed=0):
    return np.random.RandomState(seed).randint(0, 256, [number, height, width, channels], np.uint8)


@pytest.fixture
def folder(tmp_path):
    for i, array in enumerate(colours(5)):
        save(tmp_path / "in" / f"{i}.png", array)
    return tmp_path / "in"


@pytest.fixture
def flawed(folder):
    """Five good pictures, a truncated one in the middle and a text file."""
    data = io.BytesIO()
    Image.fromarray(colours(1, 64, 64)[0]).save(data, "PNG")
    (folder / "2b.png").write_bytes(data.getvalue()[:3000])
    (folder / "notes.txt").write_text("hello")
    return folder


def in_zip(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


# -- the archive


def test_a_dataset_has_nvidias_layout(folder, tmp_path):
    prepare(folder, tmp_path / "d.zip")
    with zipfile.ZipFile(tmp_path / "d.zip") as archive:
        assert archive.namelist() == [*(f"00000/img0000000{i}.png" for i in range(5)), "dataset.json", "prepare.json"]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        for i, array in enumerate(colours(5)):
            with Image.open(io.BytesIO(archive.read(f"00000/img0000000{i}.png"))) as image:
                assert image.mode == "RGB"
                np.testing.assert_array_equal(np.asarray(image), array)
    assert json.loads(in_zip(tmp_path / "d.zip", "dataset.json")) == {"labels": None}


def test_labels_are_written_as_nvidias(tmp_path):
    prepare("demo:digits", tmp_path / "d.zip", max_images=3)
    expected = {"labels": [["00000/img00000000.png", 0], ["00000/img00000001.png", 1], ["00000/img00000002.png", 2]]}
    assert json.loads(in_zip(tmp_path / "d.zip", "dataset.json")) == expected


def test_a_folder_holds_the_same_files_as_a_zip(tmp_path):
    for dest in ("d.zip", "d"):
        prepare("demo:digits", tmp_path / dest, max_images=10)
    with zipfile.ZipFile(tmp_path / "d.zip") as archive:
        for name in archive.namelist():
            assert (tmp_path / "d" / name).read_bytes() == archive.read(name)
        files = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
        assert len(files) == len(archive.namelist())


def test_the_archive_does_not_depend_on_the_number_of_workers(flawed, tmp_path):
    for i in range(70):
        save(flawed / "more" / f"{i}.jpg", colours(1, 300, 200, seed=i)[0])
    for workers in (1, 2):
        prepare(flawed, tmp_path / f"{workers}.zip", resolution=(128, 128), workers=workers)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_a_prepared_dataset_prepared_again_is_the_same_dataset(tmp_path):
    first = prepare("demo:digits", tmp_path / "1.zip", max_images=30)
    second = prepare(tmp_path / "1.zip", tmp_path / "2.zip")
    assert second["sha256"] == first["sha256"]
    assert second["class_names"] == first["class_names"]
    assert second["counts"]["ignored_files"] == 0
    assert in_zip(tmp_path / "1.zip", "dataset.json") == in_zip(tmp_path / "2.zip", "dataset.json")


# -- prepare.json


def test_prepare_json_tells_what_was_done(flawed, tmp_path):
    report = prepare(flawed, tmp_path / "d.zip", resolution=(16, 16))
    assert json.loads(in_zip(tmp_path / "d.zip", "prepare.json")) == json.loads(json.dumps(report))
    assert report["source"] == str(flawed)
    assert report["options"]["resolution"] == [16, 16]
    assert (report["width"], report["height"], report["channels"]) == (16, 16, 3)
    assert report["counts"]["written"] == 5
    assert report["counts"]["skipped"] == 1
    assert report["counts"]["ignored_files"] == 1
    assert report["counts"]["enlarged"] == 5
    [[name, reason]] = report["skipped"]
    assert name == "2b.png"
    assert "truncated" in reason


def test_the_sha256_is_that_of_shapes_and_pixels(folder, tmp_path):
    digests = b"".join(hashlib.sha256(b"8x8x3\n" + array.tobytes()).digest() for array in colours(5))
    assert prepare(folder, tmp_path / "d.zip")["sha256"] == hashlib.sha256(digests).hexdigest()


def test_labels_of_a_skipped_picture_go_with_it(flawed, tmp_path):
    names = ["0.png", "1.png", "2.png", "2b.png", "3.png", "4.png"]
    (flawed / "dataset.json").write_text(json.dumps({"labels": [[name, i] for i, name in enumerate(names)]}))
    prepare(flawed, tmp_path / "d.zip", resolution=(8, 8))
    np.testing.assert_array_equal(open_dataset(tmp_path / "d.zip").labels, [0, 1, 2, 4, 5])


def test_vector_labels_pass_through(folder, tmp_path):
    (folder / "l.csv").write_text("".join(f"{i}.png,{i},0.5\n" for i in range(5)))
    report = prepare(folder, tmp_path / "d.zip", labels=str(folder / "l.csv"))
    assert report["labels"]["vector"] == 2
    np.testing.assert_array_equal(open_dataset(tmp_path / "d.zip").labels[3], [3, 0.5])


def test_folders_become_named_classes(tmp_path):
    for i, name in enumerate(["b/1.png", "b/2.png", "a/1.png"]):
        save(tmp_path / "in" / name, colours(3)[i])
    report = prepare(tmp_path / "in", tmp_path / "d.zip", labels="folders")
    assert report["labels"]["classes"] == {"0": 1, "1": 2}
    dataset = open_dataset(tmp_path / "d.zip")
    assert dataset.class_names == ["a", "b"]
    np.testing.assert_array_equal(dataset.labels, [0, 1, 1])
    np.testing.assert_array_equal(dataset[0][0], colours(3)[2].transpose(2, 0, 1))


# -- channels


def test_grey_files_give_one_channel_and_one_colour_file_gives_three(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", colours(1, channels=1, seed=i)[0, :, :, 0])
    save(tmp_path / "in" / "deep.png", np.full([8, 8], 257 * 9, np.uint16))
    report = prepare(tmp_path / "in", tmp_path / "grey.zip")
    assert report["channels"] == 1
    assert report["counts"]["16 bit"] == 1
    assert "1 channel (auto: all are grey)" in summary(report, "grey.zip")
    assert open_dataset(tmp_path / "grey.zip")[3][0].max() == 9
    save(tmp_path / "in" / "red.png", colours(1)[0])
    assert prepare(tmp_path / "in", tmp_path / "colour.zip")["channels"] == 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_channels_asked_for_are_given(folder, tmp_path, channels):
    prepare(folder, tmp_path / "d.zip", channels=channels)
    assert open_dataset(tmp_path / "d.zip").channels == channels


def test_transparency_is_counted_and_the_summary_says_over_what(tmp_path):
    rgba = colours(2, channels=4)
    for i in range(2):
        save(tmp_path / "in" / f"{i}.png", rgba[i])
    report = prepare(tmp_path / "in", tmp_path / "d.zip", background="#102030")
    assert report["counts"]["transparent"] == 2
    assert "2 with transparency, laid over #102030" in summary(report, "d.zip")
    assert "kept" in summary(prepare(tmp_path / "in", tmp_path / "4.zip", channels=4), "4.zip")


# -- sizes


def test_width_and_height_are_nvidias_names_for_the_resolution(folder, tmp_path):
    prepare(folder, tmp_path / "a.zip", width=16, height=32)
    assert open_dataset(tmp_path / "a.zip").resolution == (32, 16)
    prepare(folder, tmp_path / "b.zip", width=16)
    assert open_dataset(tmp_path / "b.zip").resolution == (8, 16)


def test_mixed_sizes_without_a_resize_are_an_error_that_says_what_to_type(folder, tmp_path):
    save(folder / "9.png", colours(1, 40, 30)[0])
    with pytest.raises(UserError, match=r"0.png is 8x8, but 9.png is 40x30.*add --resolution 8 --transform square-crop"):
        prepare(folder, tmp_path / "d.zip")
    assert os.listdir(tmp_path) == ["in"]
    prepare(folder, tmp_path / "d.zip", resolution=(8, 8), transform="square-crop")
    assert open_dataset(tmp_path / "d.zip").resolution == (8, 8)


def test_square_crop_makes_one_size_of_pictures_with_one_shorter_side(tmp_path):
    save(tmp_path / "in" / "a.png", colours(1, 8, 12)[0])
    save(tmp_path / "in" / "b.png", colours(1, 20, 8)[0])
    prepare(tmp_path / "in", tmp_path / "d.zip", transform="square-crop")
    assert open_dataset(tmp_path / "d.zip").resolution == (8, 8)


def test_an_odd_side_is_warned_about(tmp_path):
    save(tmp_path / "in" / "a.png", colours(1, 9, 8)[0])
    [warning] = prepare(tmp_path / "in", tmp_path / "d.zip")["warnings"]
    assert warning.startswith("The width 9 is odd")


def test_changed_proportions_and_unused_folders_are_warned_about(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        save(tmp_path / "in" / name, colours(1, 30, 20)[0])
    warnings = prepare(tmp_path / "in", tmp_path / "d.zip", resolution=(8, 8))["warnings"]
    assert warnings[0].startswith("2 pictures changed their proportions")
    assert warnings[1].startswith("The pictures lie in 2 folders, but have no labels")
    (tmp_path / "in" / "dataset.json").write_text('{"labels": null}')  # a dataset: its folders are mere numbers
    assert prepare(tmp_path / "in", tmp_path / "e.zip", resolution=(30, 20))["warnings"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "center-crop"}, "--transform center-crop needs a size"),
        ({"transform": "pad", "width": 8}, "--transform pad needs a size"),
        ({"resolution": (8, 8), "width": 8}, "--resolution and --width/--height say the same thing"),
        ({"transform": "center-crop-wide", "resolution": (8, 16)}, "8x16 is tall"),
        ({"transform": "square-crop", "resolution": (8, 16)}, "square-crop makes squares"),
        ({"background": "blurple"}, "--background blurple"),
    ],
)
def test_options_that_make_no_sense_are_an_error_before_anything_is_read(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        prepare(tmp_path / "not even there", tmp_path / "d.zip", **options)


# -- bad pictures


def test_a_source_that_is_not_there_is_not_made_by_a_destination_in_it(tmp_path):
    with pytest.raises(UserError, match="in does not exist"):
        prepare(tmp_path / "in", tmp_path / "in" / "d.zip")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dest", ["", ".", "..", "/", "x" * 300, "x" * 248 + ".zip"])
def test_a_destination_without_a_name_or_with_too_long_a_one_is_a_sentence(folder, dest):
    with pytest.raises(UserError, match="DEST .*(write the name|longer than 240 bytes. Choose a shorter one)"):
        prepare(folder, dest)
    with pytest.raises(UserError, match="-holdout.zip: its name is longer"):
        prepare(folder, folder.parent / ("y" * 233 + ".zip"), holdout="20%")
    assert os.listdir(folder.parent) == ["in"]


@pytest.mark.parametrize(("source", "message"), [("", "SOURCE is an empty name"), ("x" * 300, "x does not exist")])
def test_a_source_without_a_name_or_with_too_long_a_one_is_a_sentence(tmp_path, source, message):
    with pytest.raises(UserError, match=message):
        prepare(source, tmp_path / "d.zip")
    with pytest.raises(UserError, match=message):
        look(source)
    assert os.listdir(tmp_path) == []


def test_strict_refuses_the_first_bad_picture_and_leaves_nothing(flawed, tmp_path):
    for options in ({}, {"resolution": (8, 8), "channels": 3}):
        with pytest.raises(UserError, match="2b.png"):
            prepare(flawed, tmp_path / "d.zip", strict=True, **options)
    assert os.listdir(tmp_path) == ["in"]


def test_strict_accepts_pictures_that_center_crop_wide_drops(tmp_path):
    save(tmp_path / "in" / "large.png", colours(1, 16, 16)[0])
    save(tmp_path / "in" / "small.png", colours(1, 4, 4)[0])
    report = prepare(tmp_path / "in", tmp_path / "d.zip", resolution=(16, 8), transform="center-crop-wide", strict=True)
    assert report["counts"]["written"] == 1
    assert report["skipped"] == [["small.png", "4x4 is too small or too wide for 16x8"]]
    assert report["width"] == report["height"] == 16


def test_a_source_of_bad_pictures_only_is_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}.png").write_bytes(b"no picture")
    for options in ({}, {"resolution": (8, 8), "channels": 3}):
        with pytest.raises(
            UserError, match="None of the 3 pictures can be (read|used). The last is 2.png: not a picture in a known format"
        ):
            prepare(tmp_path / "in", tmp_path / "d.zip", **options)
    assert os.listdir(tmp_path) == ["in"]


def test_phone_pictures_of_unknown_format_are_listed_and_not_lost(folder, tmp_path):
    (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert prepare(folder, tmp_path / "d.zip")["skipped"] == [["IMG_1.HEIC", "HEIC, which is not read; save it as JPEG"]]


# -- real pictures


def test_every_punk_keeps_its_pixels(shared_data, tmp_path):
    path = shared_data / "cryptopunks.png"
    options = {"tile": (24, 24), "channels": 3, "background": "#638596", "max_images": 400}
    prepare(path, tmp_path / "pad.zip", resolution=(32, 32), transform="pad", **options)
    prepare(path, tmp_path / "large.zip", resolution=(96, 96), resize_filter="nearest", **options)
    padded, large = open_dataset(tmp_path / "pad.zip"), open_dataset(tmp_path / "large.zip")
    with Image.open(path) as image:
        sheet = np.asarray(image)
    background = np.array([0x63, 0x85, 0x96])
    for i in range(400):
        row, column = divmod(i, 100)
        sprite = sheet[24 * row : 24 * row + 24, 24 * column : 24 * column + 24].astype(int)
        colour, alpha = sprite[..., :3], sprite[..., 3:] / 255
        picture = padded[i][0].transpose(1, 2, 0).astype(int)
        inside = picture[4:28, 4:28].copy()
        assert np.abs(inside - (alpha * colour + (1 - alpha) * background)).max() <= 0.5
        np.testing.assert_array_equal(inside[alpha[..., 0] == 1], colour[alpha[..., 0] == 1])
        picture[4:28, 4:28] = background
        assert (picture == background).all()
        np.testing.assert_array_equal(large[i][0].transpose(1, 2, 0), inside.repeat(4, 0).repeat(4, 1))


def test_photographs_become_one_size(shared_data, tmp_path):
    report = prepare(shared_data / "faces", tmp_path / "d.zip", resolution=(64, 48), transform="center-crop")
    assert report["counts"]["written"] == len(os.listdir(shared_data / "faces"))
    dataset = open_dataset(tmp_path / "d.zip")
    assert (dataset.resolution, dataset.channels) == ((48, 64), 3)
    with Image.open(sorted((shared_data / "faces").iterdir())[0]) as image:
        box_height = round(image.width * 48 / 64)
        assert box_height == image.height  # 500x375 has these proportions already
        expected = np.asarray(image.resize((64, 48), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(dataset[0][0].transpose(1, 2, 0) - expected).mean() <= 1  # it was decoded at half its size


# -- several datasets


def test_several_resolutions_are_several_datasets_equal_to_those_made_one_by_one(flawed, tmp_path):
    reports = prepare_all(flawed, tmp_path / "d.zip", resolution=[(8, 8), (16, 12)])
    assert list(reports) == [str(tmp_path / "d-8.zip"), str(tmp_path / "d-16x12.zip")]
    for size, path in zip([(8, 8), (16, 12)], reports, strict=True):
        alone = prepare(flawed, tmp_path / "alone.zip", resolution=size, force=True)
        assert reports[path]["sha256"] == alone["sha256"]
        assert reports[path]["skipped"] == alone["skipped"]
        assert open_dataset(path).resolution == size[::-1]


def test_the_place_of_the_resolution_in_the_name_is_filled(folder, tmp_path):
    options = {"resolution": [(8, 8), (16, 16)], "holdout": "2"}
    reports = prepare_all(folder, tmp_path / "a-{resolution}-b", **options)
    assert sorted(os.listdir(tmp_path)) == ["a-16-b", "a-16-b-holdout", "a-8-b", "a-8-b-holdout", "in"]
    assert [report["counts"]["written"] for report in reports.values()] == [3, 2, 3, 2]
    with pytest.raises(UserError, match="belongs into the last part of the name"):
        prepare_all(folder, tmp_path / "{resolution}" / "d.zip", **options)


def test_what_is_held_out_is_in_no_other_dataset_and_all_classes_are_in_both(tmp_path):
    reports = prepare_all("demo:digits", tmp_path / "d.zip", resolution=(8, 8), holdout="10%")
    training, held_out = (open_dataset(path) for path in reports)
    assert held_out.name == "d-holdout"
    assert len(training) + len(held_out) == 1797
    assert abs(len(held_out) - 179.7) < 10
    assert len(set(held_out.labels)) == 10
    assert [report["part"] for report in reports.values()] == ["training", "holdout"]
    whole = open_dataset(tmp_path / "w.zip") if prepare("demo:digits", tmp_path / "w.zip", resolution=(8, 8)) else None
    pictures = sorted(dataset[i][0].tobytes() for dataset in (training, held_out) for i in range(len(dataset)))
    assert pictures == sorted(whole[i][0].tobytes() for i in range(1797))


def test_frames_and_tiles_of_one_file_are_held_out_together(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(8):
        frames = [Image.fromarray(array) for array in colours(3, 16, 16, seed=i)]
        frames[0].save(tmp_path / "in" / f"{i}.png", save_all=True, append_images=frames[1:])
    options = {"frames": "all", "transform": "tile", "resolution": (8, 8), "holdout": "25%"}
    reports = prepare_all(tmp_path / "in", tmp_path / "d.zip", **options)
    assert [report["counts"]["written"] for report in reports.values()] == [6 * 3 * 4, 2 * 3 * 4]


def test_pictures_without_a_label_are_dropped_if_that_is_asked_for(folder, tmp_path):
    (tmp_path / "l.csv").write_text("0.png,cat\n3.png,dog\n")
    report = prepare(folder, tmp_path / "d.zip", labels=str(tmp_path / "l.csv"), unlabelled="drop", strict=True)
    assert report["counts"]["written"] == 2
    assert report["skipped"] == [[f"{i}.png", "no label"] for i in (1, 2, 4)]
    np.testing.assert_array_equal(open_dataset(tmp_path / "d.zip").labels, [0, 1])


# -- faces


@pytest.fixture
def photos(shared_data, tmp_path):
    """Two photographs with a face and a picture without."""
    pytest.importorskip("dlib", reason="dlib is not installed: the extra [faces]")
    (tmp_path / "in").mkdir()
    for path in sorted((shared_data / "faces").glob("*.jpg"))[:2]:
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    Image.new("RGB", (100, 100), "green").save(tmp_path / "in" / "zebra.png")
    return tmp_path / "in"


def test_faces_become_a_dataset_with_a_contact_sheet(photos, tmp_path):
    said = []
    options = {"align": "faces", "resolution": (64, 64), "faces_sheet": tmp_path / "sheet.jpg", "say": said.append}
    report = prepare(photos, tmp_path / "d.zip", **options)
    assert report["counts"]["written"] >= 2
    assert report["skipped"] == [["zebra.png", "no face"]]
    assert open_dataset(tmp_path / "d.zip").resolution == (64, 64)
    assert sum("iBUG 300-W" in line for line in said) == 1
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
    assert sorted(os.listdir(tmp_path)) == ["d.zip", "in", "sheet.jpg"]
    with pytest.raises(UserError, match="sheet.jpg already exists. Choose another name, or add --force"):
        prepare(photos, tmp_path / "e.zip", **options)


def test_faces_in_no_picture_is_a_sentence(folder, tmp_path):
    pytest.importorskip("dlib", reason="dlib is not installed: the extra [faces]")
    with pytest.raises(UserError, match="None of the 5 pictures can be used. The last is 4.png: no face"):
        prepare(folder, tmp_path / "d.zip", align="faces")
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("option", [{"faces_sheet": "a.jpg"}, {"landmarks": "x.dat"}, {"min_face": 100}])
def test_options_of_faces_without_align_are_refused(folder, tmp_path, option):
    with pytest.raises(UserError, match="goes with --align faces"):
        prepare(folder, tmp_path / "d.zip", **option)


# -- telling


def test_many_skipped_pictures_are_told_by_reason():
    skipped = [[f"{i}.png", f"image file is truncated ({i} bytes not processed)"] for i in range(7)] + [["x.png", "no face"]] * 2
    assert reasons_told(skipped) == ["7 like 0.png: image file is truncated (0 bytes not processed)", "2 like x.png: no face"]
    assert reasons_told(skipped[:2])[0].startswith("0.png: image file")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_hold_control_characters_neither_break_lines_nor_steer_the_terminal(folder, tmp_path):
    (folder / "a\nb\x1b[2Jc.png").write_bytes(b"nothing")
    report = prepare(folder, tmp_path / "d.zip")
    assert report["skipped"] == [["a\nb\x1b[2Jc.png", "not a picture in a known format"]]
    assert summary(report, tmp_path / "d.zip").splitlines()[-1] == "    a?b?[2Jc.png: not a picture in a known format"
