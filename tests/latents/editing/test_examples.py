"""Labelled latents: from sorted pictures, by the recipes inside them, and from lists with a file of labels."""

import numpy as np
import pytest
from PIL import Image

from sgtool import images, latents
from sgtool.errors import UserError
from sgtool.grammar import Picture, parse_latents
from sgtool.latents.editing.examples import read_examples
from sgtool.latents.file import write_latents
from sgtool.latents.recipes import texts
from sgtool.latents.sources import gather


def folder(path):
    return [Picture(str(path))]


def sort_into(top, **words):
    """Move seedNNNN.png of `top` into subfolders: label=[seeds]."""
    for word, seeds in words.items():
        (top / word).mkdir()
        for seed in seeds:
            (top / f"seed{seed:04d}.png").rename(top / word / f"seed{seed:04d}.png")


def test_pictures_sorted_into_folders_are_the_latents_they_show(model, tmp_path):
    top = tmp_path / "e"
    latents.generate_files(model.path, top, range(6), truncation_psi=0.5, truncation_cutoff=2)
    sort_into(top, yes=[4, 1], no=[0, 2, 5])
    found, marks = read_examples(folder(top), None, model, None)
    expected = gather([0, 2, 5, 1, 4], model, None, truncation_psi=0.5, truncation_cutoff=2)
    np.testing.assert_allclose(found.ws, expected.ws, atol=1e-6)
    assert found.names == ["seed0000", "seed0002", "seed0005", "seed0001", "seed0004"]
    assert [own["yes"] for own in marks] == [False] * 3 + [True] * 2


def test_pictures_of_different_truncation_and_class_keep_theirs(make_model, tmp_path):
    model, top = make_model(c_dim=3), tmp_path / "e"
    for number, psi in ((0, 1.0), (2, 0.5), (1, 1.0)):
        latents.generate_files(model.path, top / str(number), [7, 3], [number], truncation_psi=psi, grid=False)
    found, _ = read_examples(folder(top), None, model, None)
    for row, (seed, number, psi) in enumerate([(3, 0, 1), (7, 0, 1), (3, 1, 1), (7, 1, 1), (3, 2, 0.5), (7, 2, 0.5)]):
        expected = gather([seed], model, None, label=number, truncation_psi=psi)
        np.testing.assert_allclose(found.ws[row], expected.ws[0], atol=1e-5)


def test_a_file_of_labels_names_pictures_of_a_folder(model, tmp_path):
    latents.generate_files(model.path, tmp_path / "e", range(4))
    (tmp_path / "l.csv").write_text("name,label\nseed0003.png,b\nseed0001,a\n")
    said = []
    found, marks = read_examples(folder(tmp_path / "e"), tmp_path / "l.csv", model, None, say=said.append)
    np.testing.assert_allclose(found.ws, gather([1, 3], model, None).ws, atol=1e-6)
    assert marks == [{"a": True, "b": False}, {"a": False, "b": True}]
    assert said == [f"3 of 5 examples have no label in {tmp_path / 'l.csv'}: they are left out."]  # grid.png is the fifth


def test_a_file_of_labels_names_seeds_and_rows_of_files(model, tmp_path):
    stored = gather([8, 9], model, None)
    stored.names = ["anna", "bert"]
    write_latents(tmp_path / "w.npz", stored)
    (tmp_path / "l.csv").write_text("name,label\nbert,x\nseed0001,y\n")
    items = parse_latents(f"1,1-2,{tmp_path / 'w.npz'}")
    found, marks = read_examples(items, tmp_path / "l.csv", model, None, say=lambda text: None)
    assert found.names == ["seed0001", "bert"]
    np.testing.assert_allclose(found.ws[1], stored.ws[1], atol=1e-6)
    assert [own["x"] for own in marks] == [False, True]


def refused(items, labels, model):
    with pytest.raises(UserError) as caught:
        read_examples(items, labels, model, None)
    return caught.value.message


def test_folders_that_hold_nothing_to_learn_from_are_refused(model, tmp_path):
    (tmp_path / "e" / "a").mkdir(parents=True)
    assert "holds no PNG. Make pictures with sgtool generate" in refused(folder(tmp_path / "e"), None, model)
    latents.generate_files(model.path, tmp_path / "e", range(3))
    assert "has 0 subfolders with pictures. Sort the pictures into two or more" in refused(folder(tmp_path / "e"), None, model)
    (tmp_path / "e" / "seed0000.png").rename(tmp_path / "e" / "a" / "seed0000.png")
    assert "has 1 subfolders" in refused(folder(tmp_path / "e"), None, model)
    assert "--labels is missing" in refused(parse_latents("0-9"), None, model)


def test_a_picture_whose_latent_is_unknown_is_refused(model, make_model, tmp_path):
    top = tmp_path / "e"
    latents.generate_files(model.path, top, range(3))
    sort_into(top, a=[0, 1], b=[2])
    plain = Image.open(top / "a" / "seed0000.png").convert("RGB")
    pixels, own = np.asarray(plain), {"network_sha256": model.sha256}
    odd = [{"seed": "7"}, {"seed": -1}, {"seed": 7, "edit": []}, {"seed": 7, "class": "x"}, {"seed": 7, "truncation_psi": "1"}]
    for recipe in [None, {}, own, *(own | more for more in odd)]:
        images.save_png(top / "b" / "odd.png", pixels, None if recipe is None else texts(recipe))
        assert "odd.png is no picture of one seed made by sgtool generate" in refused(folder(top), None, model)
    (top / "b" / "odd.png").write_bytes(b"no picture")
    assert "odd.png is no picture of one seed" in refused(folder(top), None, model)
    (top / "b" / "odd.png").unlink()
    other = make_model("other.pkl", seed=2)
    assert "was made with another model than other.pkl" in refused(folder(top), None, other)
