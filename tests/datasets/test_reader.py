import io
import json
import multiprocessing
import pickle
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sgtool.datasets import epoch_order, open_dataset
from sgtool.datasets.png import encode_png
from sgtool.datasets.prepare import prepare
from sgtool.errors import UserError
from sgtool.images import to_pil

KINDS = ("data.zip", "data")


def pictures(number=6, height=4, width=8, channels=3):
    return np.random.RandomState(0).randint(0, 256, [number, height, width, channels], np.uint8)


def filtered_png(array):
    """A PNG as NVIDIA's dataset_tool writes it: not compressed, but with filters."""
    file = io.BytesIO()
    to_pil(array).save(file, "PNG", compress_level=0)
    return file.getvalue()


def write(path, arrays, labels=None, names=None, about=None, encode=encode_png):
    """Write a dataset as another program might: names and order are free."""
    names = names or [f"{i}.png" for i in range(len(arrays))]
    files = {} if labels is None else {"dataset.json": json.dumps({"labels": labels}).encode()}
    files |= {name: encode(array) for name, array in zip(names, arrays, strict=True)}
    files |= {} if about is None else {"prepare.json": json.dumps(about).encode()}
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    path.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_come_back_as_channels_first(tmp_path, kind):
    arrays = pictures()
    dataset = open_dataset(write(tmp_path / kind, arrays))
    assert len(dataset) == 6
    assert dataset.resolution == (4, 8)
    assert dataset.channels == 3
    assert dataset.name == "data"
    assert dataset.labels is None
    assert dataset.label_dim == 0
    for i in range(6):
        picture, label = dataset[i]
        assert label is None
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, arrays[i].transpose(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels_is_read(tmp_path, channels):
    arrays = pictures(channels=channels)
    dataset = open_dataset(write(tmp_path / "data.zip", arrays))
    assert dataset.channels == channels
    np.testing.assert_array_equal(dataset[0][0], arrays[0].transpose(2, 0, 1))


def test_pictures_need_not_be_png(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    Image.fromarray(pictures()[0]).save(folder / "a.jpg")
    Image.fromarray(pictures()[1]).save(folder / "b.bmp")
    dataset = open_dataset(folder)
    assert dataset.names == ["a.jpg", "b.bmp"]
    np.testing.assert_array_equal(dataset[1][0], pictures()[1].transpose(2, 0, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_belong_to_names_whatever_their_order(tmp_path, kind):
    labels = [["x/c.png", 2], ["gone.png", 9], ["a.png", 0], ["b.png", 4]]
    dataset = open_dataset(write(tmp_path / kind, pictures(3), labels, ["b.png", "x/c.png", "a.png"]))
    assert dataset.names == ["a.png", "b.png", "x/c.png"]
    np.testing.assert_array_equal(dataset.labels, [0, 4, 2])
    assert dataset.labels.dtype == np.int64
    assert [dataset[i][1] for i in range(3)] == [0, 4, 2]
    assert dataset.label_dim == 5
    np.testing.assert_array_equal(dataset.label_vectors([1, 0]), np.eye(5, dtype=np.float32)[[4, 0]])


def test_vector_labels_are_float32(tmp_path):
    dataset = open_dataset(write(tmp_path / "data.zip", pictures(2), [["0.png", [0.5, 1, 2]], ["1.png", [1, 0, 0]]]))
    assert dataset.labels.dtype == np.float32
    assert dataset.label_dim == 3
    np.testing.assert_array_equal(dataset[0][1], [0.5, 1, 2])
    np.testing.assert_array_equal(dataset.label_vectors([1]), [[1, 0, 0]])


def test_without_labels_label_vectors_are_empty(tmp_path):
    assert open_dataset(write(tmp_path / "data.zip", pictures(2))).label_vectors([0, 1]).shape == (2, 0)


def test_a_class_without_pictures_still_counts(tmp_path):
    prepare("demo:digits", tmp_path / "d.zip", max_images=5)
    dataset = open_dataset(tmp_path / "d.zip")
    assert dataset.labels.max() == 4
    assert dataset.label_dim == 10
    assert dataset.class_names == list("0123456789")


@pytest.mark.parametrize("kind", KINDS)
def test_what_prepare_wrote_is_what_is_read(tmp_path, kind):
    prepare("demo:digits", tmp_path / kind, max_images=20)
    dataset = open_dataset(tmp_path / kind)
    assert len(dataset) == 20
    assert dataset.channels == 1
    assert len(dataset.fingerprint) == 64


@pytest.mark.parametrize("encode", [encode_png, filtered_png])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_read_alike_whichever_way_they_are_packed(tmp_path, encode, channels, kind):
    arrays = pictures(3, 90, 170, channels)  # more than one block of a stored PNG
    dataset = open_dataset(write(tmp_path / kind, arrays, encode=encode))
    np.testing.assert_array_equal(dataset.batch(range(3)), arrays.transpose(0, 3, 1, 2))


# -- batches


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_batch_is_the_pictures_one_by_one(tmp_path, kept, mirror):
    dataset = open_dataset(write(tmp_path / "data.zip", pictures()), mirror=mirror)
    expected = [dataset[i][0] for i in range(len(dataset))]
    assert dataset.keep(6 * 4 * 8 * 3 if kept else 6 * 4 * 8 * 3 - 1) is kept
    for _ in range(2):  # the second time from memory
        order = np.random.RandomState(1).randint(0, len(dataset), 40)
        batch = dataset.batch(order)
        assert batch.flags.c_contiguous
        np.testing.assert_array_equal(batch, [expected[i] for i in order])
        batch[...] = 0  # what was kept must not change with it
    picture, _ = dataset[0]
    picture[...] = 0
    np.testing.assert_array_equal(dataset[0][0], expected[0])


def test_kept_pictures_are_read_once(tmp_path):
    path = write(tmp_path / "data", pictures())
    dataset = open_dataset(path)
    dataset.keep(1 << 20)
    first = dataset.batch([0, 1, 4])
    for name in dataset.names:
        (path / name).unlink()
    np.testing.assert_array_equal(dataset.batch([4, 0, 1]), first[[2, 0, 1]])
    with pytest.raises(UserError, match="3.png cannot be read"):
        dataset.batch([3])


def test_a_pickled_dataset_does_not_take_kept_pictures_along(tmp_path):
    dataset = open_dataset(write(tmp_path / "data.zip", pictures(6, 64, 64)))
    small = len(pickle.dumps(dataset))
    dataset.keep(1 << 30)
    dataset.batch(range(6))
    assert len(pickle.dumps(dataset)) <= small
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).batch([5]), dataset.batch([5]))


def test_an_empty_batch_has_the_shape_of_its_pictures(tmp_path):
    assert open_dataset(write(tmp_path / "data.zip", pictures())).batch([]).shape == (0, 3, 4, 8)


@pytest.mark.parametrize("indices", [[0, 6], [-1]])
def test_batches_of_pictures_that_do_not_exist_are_index_errors(tmp_path, indices):
    with pytest.raises(IndexError):
        open_dataset(write(tmp_path / "data.zip", pictures())).batch(indices)


def test_threads_may_share_kept_pictures(tmp_path):
    arrays = pictures(40)
    dataset = open_dataset(write(tmp_path / "data.zip", arrays, names=[f"{i:02d}.png" for i in range(40)]))
    dataset.keep(1 << 20)
    orders = np.random.RandomState(0).randint(0, 40, [60, 13])
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(dataset.batch, orders))
    np.testing.assert_array_equal(np.stack(read), arrays.transpose(0, 3, 1, 2)[orders])


@pytest.mark.parametrize("size", [(4, 9), (8, 4), (300, 300)])
def test_a_picture_that_was_replaced_after_opening_is_an_error_that_names_it(tmp_path, size):
    path = write(tmp_path / "data", pictures())
    dataset = open_dataset(path)
    (path / "2.png").write_bytes(encode_png(pictures(1, *size)[0]))
    with pytest.raises(UserError, match=rf"2.png cannot be read \(it is {size[1]}x{size[0]} with 3 channels now\)"):
        dataset[2]


def test_a_file_that_unpacks_to_far_more_than_its_pixels_is_not_read_as_a_whole(tmp_path):
    array = pictures()[0]
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", encode_png(array) + bytes(1 << 28))
    dataset = open_dataset(tmp_path / "data.zip")
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(dataset[0][0], array.transpose(2, 0, 1))
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


# -- mirror and subset


def test_a_mirrored_dataset_has_each_picture_flipped_after_all_others(tmp_path):
    path = write(tmp_path / "data.zip", pictures(3), [[f"{i}.png", i] for i in range(3)])
    plain, mirrored = open_dataset(path), open_dataset(path, mirror=True)
    assert len(mirrored) == 6
    for i in range(3):
        np.testing.assert_array_equal(mirrored[i][0], plain[i][0])
        np.testing.assert_array_equal(mirrored[i + 3][0], plain[i][0][:, :, ::-1])
        assert mirrored[i + 3][1] == i
    np.testing.assert_array_equal(mirrored.labels, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(mirrored.label_vectors([4]), [[0, 1, 0]])
    assert mirrored[3][0].flags.c_contiguous


def test_a_subset_is_nvidias(tmp_path):
    path = write(tmp_path / "data.zip", pictures(50), [[f"{i}.png", i] for i in range(50)], [f"{i}.png" for i in range(50)])
    dataset = open_dataset(path)
    order = np.arange(50)
    np.random.RandomState(7).shuffle(order)
    chosen = np.sort(order[:12])
    subset = dataset.subset(12, seed=7)
    assert subset.names == [dataset.names[i] for i in chosen]
    np.testing.assert_array_equal(subset.labels, dataset.labels[chosen])
    np.testing.assert_array_equal(subset[3][0], dataset[chosen[3]][0])
    assert subset.label_dim == dataset.label_dim
    assert len({dataset.fingerprint, subset.fingerprint, dataset.subset(12, seed=8).fingerprint}) == 3


def test_subset_and_mirror_may_come_in_either_order(tmp_path):
    dataset = open_dataset(write(tmp_path / "data.zip", pictures()))
    one, two = dataset.mirrored().subset(2, 1), dataset.subset(2, 1).mirrored()
    assert len(one) == len(two) == 4
    assert one.fingerprint == two.fingerprint != dataset.fingerprint
    for i in range(4):
        np.testing.assert_array_equal(one[i][0], two[i][0])


def test_the_subset_of_all_is_all(tmp_path):
    dataset = open_dataset(write(tmp_path / "data.zip", pictures()))
    assert dataset.subset(6).names == dataset.names


@pytest.mark.parametrize("number", [0, 7])
def test_a_subset_that_cannot_be_is_an_error(tmp_path, number):
    with pytest.raises(UserError, match=f"--subset {number}: .*has 6 pictures. Give a number from 1 to 6"):
        open_dataset(write(tmp_path / "data.zip", pictures())).subset(number)


def test_indices_outside_are_index_errors(tmp_path):
    dataset = open_dataset(write(tmp_path / "data.zip", pictures()))
    np.testing.assert_array_equal(dataset[-1][0], dataset[5][0])
    for index in (6, -7):
        with pytest.raises(IndexError):
            dataset[index]


# -- processes and threads


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_can_be_pickled(tmp_path, kind):
    dataset = open_dataset(write(tmp_path / kind, pictures()))
    dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[5][0], dataset[5][0])


def test_threads_may_share_a_dataset(tmp_path):
    arrays = pictures(40)
    dataset = open_dataset(write(tmp_path / "data.zip", arrays, names=[f"{i:02d}.png" for i in range(40)]))
    order = np.random.RandomState(0).randint(0, 40, 800)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda i: dataset[i][0], order))
    np.testing.assert_array_equal(np.stack(read), arrays.transpose(0, 3, 1, 2)[order])


def _read_many(dataset, order, queue):
    queue.put(np.stack([dataset[i][0] for i in order]))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # other tests' threads, Python 3.12
def test_forked_processes_may_share_a_dataset(tmp_path):
    arrays = pictures(40)
    dataset = open_dataset(write(tmp_path / "data.zip", arrays, names=[f"{i:02d}.png" for i in range(40)]))
    order = np.random.RandomState(0).randint(0, 40, 300)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    children = [context.Process(target=_read_many, args=(dataset, order, queue)) for _ in range(2)]
    for child in children:
        child.start()
    expected = arrays.transpose(0, 3, 1, 2)[order]
    here = np.stack([dataset[i][0] for i in order])
    for _ in children:
        np.testing.assert_array_equal(queue.get(), expected)
    for child in children:
        child.join()
    np.testing.assert_array_equal(here, expected)


# -- fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_changes_with_a_pixel_and_not_with_the_place(tmp_path, kind):
    arrays = pictures()
    first = open_dataset(write(tmp_path / "1" / kind, arrays)).fingerprint
    assert open_dataset(write(tmp_path / "2" / kind, arrays)).fingerprint == first
    arrays[3, 0, 0, 0] ^= 1
    assert open_dataset(write(tmp_path / "3" / kind, arrays)).fingerprint != first


def test_a_stated_digest_hides_no_other_pictures_and_no_other_labels(tmp_path):
    about = {"sha256": "abc", "counts": {"written": 6}}
    arrays = pictures()
    first = open_dataset(write(tmp_path / "a.zip", arrays, about=about)).fingerprint
    arrays[0] = arrays[0].copy()
    arrays[0].flat[0] ^= 1
    assert open_dataset(write(tmp_path / "b.zip", arrays, about=about)).fingerprint != first
    found = {first}
    for name, shift in (("c.zip", 0), ("d.zip", 1)):
        labels = [[f"{i}.png", (i + shift) % 2] for i in range(6)]
        found.add(open_dataset(write(tmp_path / name, pictures(), labels=labels, about=about)).fingerprint)
    assert len(found) == 3


# -- what is no dataset


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UserError, match="missing.zip does not exist"):
        open_dataset(tmp_path / "missing.zip")


def test_a_file_that_is_no_zip_is_an_error(tmp_path):
    (tmp_path / "d.zip").write_bytes(b"hello")
    with pytest.raises(UserError, match="d.zip is not a dataset"):
        open_dataset(tmp_path / "d.zip")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_without_pictures_is_an_error(tmp_path, kind):
    with pytest.raises(UserError, match="holds no picture"):
        open_dataset(write(tmp_path / kind, [], labels=[]))


def test_pictures_of_different_shape_are_an_error_that_names_two(tmp_path):
    arrays = [pictures()[0], pictures(height=5)[0]]
    with pytest.raises(UserError, match=r"1.png is 8x5 with 3 channels, but 0.png is 8x4 with 3 channels.*--resolution 4"):
        open_dataset(write(tmp_path / "d.zip", arrays))


def test_pictures_of_different_channels_are_an_error(tmp_path):
    arrays = [pictures()[0], pictures(channels=1)[0]]
    with pytest.raises(UserError, match="1.png is 8x4 with 1 channel, but"):
        open_dataset(write(tmp_path / "d.zip", arrays))


@pytest.mark.parametrize("mode", ["P", "I;16", "CMYK"])
def test_pictures_of_another_mode_are_sent_to_prepare(tmp_path, mode):
    folder = tmp_path / "d"
    folder.mkdir()
    Image.new(mode, (8, 8)).save(folder / ("a.tif" if mode == "CMYK" else "a.png"))
    with pytest.raises(UserError, match=r"is not a grey, RGB or RGBA picture of 8 bits. Run: sgtool prepare"):
        open_dataset(folder)


def test_a_file_that_only_looks_like_a_picture_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.raises(UserError, match="a.png cannot be read. Run: sgtool prepare"):
        open_dataset(tmp_path)


def test_missing_labels_are_an_error_with_their_number(tmp_path):
    path = write(tmp_path / "d.zip", pictures(3), [["0.png", 1]])
    with pytest.raises(UserError, match=r"1.png has no label in dataset.json \(2 such of 3\)"):
        open_dataset(path)


def test_a_picture_damaged_after_opening_is_an_error_that_names_it(tmp_path):
    path = write(tmp_path / "d.zip", pictures(2, 64, 64))
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("1.png").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 5000] ^= 255
    path.write_bytes(data)
    dataset = open_dataset(path)
    dataset[0]
    with pytest.raises(UserError, match="d.zip: 1.png cannot be read"):
        dataset[1]


# -- order


def test_each_epoch_is_another_permutation():
    orders = [epoch_order(100, 3, epoch) for epoch in range(4)] + [epoch_order(100, 4, 0)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert orders[0].dtype == np.int64


def test_the_order_of_an_epoch_never_changes():
    np.testing.assert_array_equal(epoch_order(10, 0, 0), epoch_order(10, 0, 0))
    np.testing.assert_array_equal(epoch_order(8, 1, 2), [2, 4, 1, 5, 6, 3, 0, 7])  # as first released: old runs resume with it
