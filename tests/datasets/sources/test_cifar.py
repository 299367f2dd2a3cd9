import pickle

import numpy as np
import pytest
from source_makers import assert_pixels, batch_pickle, write_tar

from sgtool.datasets.sources import examine, open_source
from sgtool.errors import UserError

NAMES = ["cat", "dog", "frog"]


def batch(seed, number=4):
    random = np.random.RandomState(seed)
    return random.randint(0, 256, [number, 3072], np.uint8), random.randint(0, 3, number).tolist()


def upright(data):
    return [row.reshape(3, 32, 32).transpose(1, 2, 0) for row in data]


@pytest.fixture
def batches():
    return [batch(seed) for seed in (1, 2)]


def python_files(batches):
    files = [("batches.meta", batch_pickle({"num_cases_per_batch": 10000, "label_names": NAMES, "num_vis": 3072}))]
    for i, (data, labels) in enumerate(batches, 1):
        values = {"batch_label": f"training batch {i} of 5", "labels": labels, "data": data, "filenames": ["a.png"] * len(labels)}
        files.append((f"data_batch_{i}", batch_pickle(values)))
    return [*files, ("test_batch", batch_pickle({"labels": [0], "data": batches[0][0][:1]})), ("readme.html", b"<html>")]


def binary_files(batches):
    files = [("batches.meta.txt", "\n".join([*NAMES, "", ""]).encode())]
    for i, (data, labels) in enumerate(batches, 1):
        files.append(
            (f"data_batch_{i}.bin", b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, data, strict=True)))
        )
    return [*files, ("test_batch.bin", b"")]


def write_folder(folder, files):
    folder.mkdir()
    for name, data in files:
        (folder / name).write_bytes(data)
    return folder


def check(source, batches):
    assert source.names[:5] == [
        "data_batch_1/00000",
        "data_batch_1/00001",
        "data_batch_1/00002",
        "data_batch_1/00003",
        "data_batch_2/00000",
    ]
    assert list(source.labels.values()) == batches[0][1] + batches[1][1]
    assert source.class_names == NAMES
    assert_pixels(source, upright(batches[0][0]) + upright(batches[1][0]))
    assert examine(source.picture(7)) == ((32, 32), "RGB")
    assert "test" in source.warnings[0]
    assert "left out" in source.warnings[0]


@pytest.mark.parametrize("files", [python_files, binary_files])
def test_both_versions_are_read_from_the_folder(tmp_path, batches, files):
    check(open_source(write_folder(tmp_path / "cifar", files(batches))), batches)


@pytest.mark.parametrize("files", [python_files, binary_files])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_both_versions_are_read_from_the_archive(tmp_path, batches, files, mode):
    named = [(f"cifar-10/{name}", data) for name, data in files(batches)]
    check(open_source(write_tar(tmp_path / "cifar.tar.gz", named, mode)), batches)


def test_the_fine_labels_of_cifar_100_are_taken(tmp_path, batches):
    data, labels = batches[0]
    values = {"filenames": ["a"] * 4, "fine_labels": labels, "coarse_labels": [1] * 4, "data": data}
    meta = {"fine_label_names": NAMES, "coarse_label_names": ["animal", "other"]}
    source = open_source(write_folder(tmp_path / "c", [("train", batch_pickle(values)), ("meta", batch_pickle(meta))]))
    assert list(source.labels.values()) == labels
    assert source.class_names == NAMES
    assert source.names[0] == "train/00000"
    assert_pixels(source, upright(data))


def test_the_fine_labels_of_binary_cifar_100_are_the_second_byte(tmp_path, batches):
    data, labels = batches[0]
    records = b"".join(bytes([9, label]) + row.tobytes() for label, row in zip(labels, data, strict=True))
    files = [("train.bin", records), ("fine_label_names.txt", "\n".join(NAMES).encode())]
    source = open_source(write_folder(tmp_path / "c", files))
    assert list(source.labels.values()) == labels
    assert_pixels(source, upright(data))


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('the file ran code')",)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, batches, protocol):
    files = [pair for pair in python_files(batches) if pair[0] != "data_batch_1"]
    evil = pickle.dumps({"labels": [1], "data": Evil()}, protocol)
    folder = write_folder(tmp_path / "c", [*files, ("data_batch_1", evil)])
    with pytest.raises(UserError, match="data_batch_1 (is not a CIFAR batch|does not hold as many labels)"):
        open_source(folder)


def test_a_batch_that_was_written_again_by_python_3_is_read(tmp_path, batches):
    data, labels = batches[0]
    batch = {"labels": labels, "data": data}
    for protocol in (3, 4):
        files = [
            ("batches.meta", pickle.dumps({"label_names": NAMES}, protocol)),
            ("data_batch_1", pickle.dumps(batch, protocol)),
        ]
        source = open_source(write_folder(tmp_path / f"c{protocol}", files))
        assert list(source.labels.values()) == labels
        assert source.class_names == NAMES
        assert_pixels(source, upright(data))


def test_every_cut_of_a_batch_is_an_error_in_a_sentence(tmp_path):
    whole = batch_pickle({"labels": [1], "data": batch(1, 1)[0]})
    folder = write_folder(tmp_path / "c", [("batches.meta", batch_pickle({"label_names": NAMES}))])
    for size in [*range(0, 200, 3), *range(len(whole) - 60, len(whole))]:
        (folder / "data_batch_1").write_bytes(whole[:size])
        with pytest.raises(UserError, match="data_batch_1"):
            open_source(folder)


def test_every_changed_byte_of_a_batch_is_read_or_an_error_in_a_sentence(tmp_path):
    whole = batch_pickle({"labels": [1], "data": batch(1, 1)[0]})
    head = whole.index(b"T\x00\x0c") + 5  # what follows are pixels
    folder = write_folder(tmp_path / "c", [("batches.meta", batch_pickle({"label_names": NAMES}))])
    random = np.random.RandomState(0)
    refused = 0
    for place in [*range(head), len(whole) - 3, len(whole) - 2, len(whole) - 1]:
        data = bytearray(whole)
        data[place] = random.randint(256)
        (folder / "data_batch_1").write_bytes(data)
        try:
            open_source(folder)
        except UserError:
            refused += 1
    assert refused > head / 2


def test_labels_and_pictures_of_different_number_are_an_error(tmp_path, batches):
    files = [
        ("batches.meta", batch_pickle({"label_names": NAMES})),
        ("data_batch_1", batch_pickle({"labels": [0, 1], "data": batches[0][0]})),
    ]
    with pytest.raises(UserError, match="as many labels as pictures"):
        open_source(write_folder(tmp_path / "c", files))


def test_a_binary_batch_that_is_cut_off_is_an_error(tmp_path, batches):
    files = dict(binary_files(batches))
    files["data_batch_1.bin"] = files["data_batch_1.bin"][:-1]
    with pytest.raises(UserError, match="no whole number of pictures"):
        open_source(write_folder(tmp_path / "c", files.items()))


def test_a_label_without_a_class_name_is_an_error(tmp_path, batches):
    files = dict(binary_files(batches))
    files["batches.meta.txt"] = b"cat\n"
    with pytest.raises(UserError, match="labels up to 2, but 1 class names"):
        open_source(write_folder(tmp_path / "c", files.items()))


def test_one_file_of_an_archive_names_the_folder_to_give(tmp_path, batches):
    folder = write_folder(tmp_path / "c", python_files(batches))
    with pytest.raises(UserError, match="one file of a CIFAR archive. Give the folder"):
        open_source(folder / "data_batch_1")
