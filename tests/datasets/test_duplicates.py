import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from scipy import fft

from sgtool.datasets.duplicates import EXACT, MIRRORED, NEAR, compare, find_copies
from sgtool.datasets.findings import ROW, measure
from sgtool.datasets.neighbours import SIGNS, candidates, describe

FLIP = Image.Transpose.FLIP_LEFT_RIGHT
LIMIT = 0.2


def rows_of(pictures):
    return np.frombuffer(b"".join(measure(picture, thumbnail=False).row() for picture in pictures), ROW)


def jpeg(picture, quality):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def cropped(picture, share):
    width, height = picture.size
    return picture.crop((round(width * share), round(height * share), round(width * (1 - share)), round(height * (1 - share))))


COPIES = {
    "JPEG 90": lambda p: jpeg(p, 90),
    "JPEG 30": lambda p: jpeg(p, 30),
    "half": lambda p: p.resize([n // 2 for n in p.size], Image.Resampling.LANCZOS),
    "a third": lambda p: p.resize([n // 3 for n in p.size], Image.Resampling.BICUBIC),
    "enlarged": lambda p: p.resize([n * 2 for n in p.size], Image.Resampling.BICUBIC),
    "stretched": lambda p: p.resize([p.width, p.height * 9 // 10]),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.8),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.1),
    "contrast": lambda p: ImageEnhance.Contrast(p).enhance(0.8),
    "blurred": lambda p: p.filter(ImageFilter.GaussianBlur(1.5)),
    "grey": lambda p: p.convert("L"),
    "half a percent cropped": lambda p: cropped(p, 0.005),
    "rotated by half a degree": lambda p: p.rotate(0.5, Image.Resampling.BICUBIC),
}


@pytest.fixture
def real(shared_data):
    """Six real photographs."""
    return [Image.open(path).convert("RGB") for path in sorted((shared_data / "faces").iterdir())]


@pytest.mark.parametrize("change", COPIES)
def test_changed_copies_are_found(photo, change):
    originals = [photo(seed) for seed in range(10)]
    found, groups = find_copies(rows_of([*originals, *map(COPIES[change], originals)]), LIMIT)
    assert {(frozenset((copy.index, copy.of)), copy.kind) for copy in found} == {
        (frozenset((i, i + 10)), NEAR) for i in range(10)
    }
    assert [group.tolist() for group in groups] == [[i, i + 10] for i in range(10)]


@pytest.mark.parametrize("change", COPIES)
def test_changed_and_mirrored_copies_of_real_photographs_are_found(real, change):
    versions = [COPIES[change](picture) for picture in real]
    found, _ = find_copies(rows_of([*real, *versions]), LIMIT)
    assert len(found) == 6
    assert {copy.kind for copy in found} == {NEAR}
    found, _ = find_copies(rows_of([*real, *(picture.transpose(FLIP) for picture in versions)]), LIMIT)
    assert {(frozenset((copy.index, copy.of)), copy.kind) for copy in found} == {
        (frozenset((i, i + 6)), MIRRORED) for i in range(6)
    }


def test_parts_of_one_photograph_are_different_pictures(real):
    parts = [cropped(picture, share) for picture in real for share in (0, 0.1, 0.2, 0.3)]
    assert find_copies(rows_of(parts), LIMIT) == ([], [])


def test_faces_in_the_same_place_are_different_pictures(golden):
    faces = [Image.open(path) for path in sorted((golden / "align").glob("*.png"))]
    assert find_copies(rows_of(faces), LIMIT) == ([], [])
    points = describe(rows_of(faces)["shape"])
    distances = np.linalg.norm(points[:, np.newaxis] - points, axis=2) + 9 * np.eye(len(faces))
    assert distances.min() > 5 * LIMIT


def test_pixel_art_of_one_kind_is_mostly_different(shared_data):
    """Punks differ by an earring of one pixel. Of 10,000 a seventh has a nearly equal one before it; none is equal."""
    sheet = Image.open(shared_data / "cryptopunks.png").convert("RGBA")
    punks = [sheet.crop((x * 24, y * 24, x * 24 + 24, y * 24 + 24)) for y in range(20) for x in range(100)]
    found, _ = find_copies(rows_of(punks), LIMIT)
    assert {copy.kind for copy in found} == {NEAR}
    assert 0 < len(found) < 0.15 * len(punks)
    large = [punk.resize((96, 96), Image.Resampling.NEAREST) for punk in punks[:500]]
    assert len(find_copies(rows_of(large), LIMIT)[0]) < 0.15 * len(large)
    assert find_copies(rows_of(punks[:500]), 0) == ([], [])


def test_a_small_thing_added_makes_another_picture(photo):
    picture = photo(0)
    with_ball = picture.copy()
    with_ball.paste("#ffffff", (100, 100, 130, 130))
    assert find_copies(rows_of([picture, with_ball]), LIMIT)[0] == []


def test_another_colour_makes_another_picture():
    pictures = []
    for colour in ("#c04040", "#207840"):  # of equal luma
        picture = Image.new("RGB", (100, 100), "#c0c0c0")
        picture.paste(colour, (20, 20, 80, 80))
        pictures.append(picture)
    rows = rows_of(pictures)
    assert np.abs(rows["shape"][0].astype(int) - rows["shape"][1]).max() < 8
    assert find_copies(rows, LIMIT)[0] == []
    grey = rows_of([pictures[0], pictures[0].convert("L")])
    assert len(find_copies(grey, LIMIT)[0]) == 1


def test_equal_pixels_are_told_as_such_and_the_first_is_kept(photo):
    found, groups = find_copies(rows_of([photo(0), photo(1), photo(0), photo(1), photo(0)]), LIMIT)
    assert [(copy.index, copy.of, copy.kind) for copy in found] == [(2, 0, EXACT), (3, 1, EXACT), (4, 0, EXACT)]
    assert [group.tolist() for group in groups] == [[0, 2, 4], [1, 3]]


def test_the_largest_is_kept_wherever_it_stands(photo):
    large = photo(0, 400, 400)
    small = large.resize((200, 200), Image.Resampling.LANCZOS)
    found, _ = find_copies(rows_of([small, photo(1), large, large, small]), LIMIT)
    assert [(copy.index, copy.of, copy.kind) for copy in found] == [(0, 2, NEAR), (3, 2, EXACT), (4, 0, EXACT)]


def test_plain_pictures_are_equal_or_nothing():
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("#101010", "#111111", "#f0f0f0", "#101010")]
    found, _ = find_copies(rows_of(pictures), LIMIT)
    assert [(copy.index, copy.of, copy.kind) for copy in found] == [(3, 0, EXACT)]


def test_a_symmetric_picture_is_not_its_own_mirror_image(photo):
    half = photo(0, 128, 256)
    picture = Image.new("RGB", (256, 256))
    picture.paste(half, (0, 0))
    picture.paste(half.transpose(FLIP), (128, 0))
    assert find_copies(rows_of([picture, photo(1)]), LIMIT) == ([], [])
    found, _ = find_copies(rows_of([picture, jpeg(picture, 60), photo(1)]), LIMIT)
    assert [(copy.index, copy.of) for copy in found] == [(1, 0)]


def test_of_a_series_that_changes_little_by_little_every_dropped_one_is_near_a_kept_one(photo):
    """A pan: each picture is a copy of the one before it, the last has nothing of the first."""
    wide = photo(0, 900, 256)
    pictures = [wide.crop((x, 0, x + 256, 256)) for x in range(0, 200, 2)]
    rows = rows_of(pictures)
    found, groups = find_copies(rows, LIMIT)
    kept = set(range(len(pictures))) - {copy.index for copy in found}
    assert 5 < len(kept) < 70
    assert [len(group) for group in groups] == [100]
    for copy in found:
        assert copy.of in kept
        assert compare(rows[[copy.of]], rows[[copy.index]], np.array([copy.kind == MIRRORED]), LIMIT)[0][0]


def test_thousands_of_pictures_alike_leave_one(photo):
    rows = np.repeat(rows_of([photo(0)]), 3000)
    noise = np.random.RandomState(0).randint(-1, 2, size=[3000, 16, 16])
    rows["shape"] = np.clip(rows["shape"] + noise, -127, 127)
    rows["digest"] = np.arange(3000 * 2, dtype=np.uint64).view("V16")
    found, groups = find_copies(rows, LIMIT)
    assert len(found) == 2999
    assert {copy.of for copy in found} == {0}
    assert len(groups) == 1


def random_shapes(number, random):
    """Shapes with the statistics of photographs: the power of waves falls with the square of their frequency."""
    waves = random.normal(size=[number, 16, 16]) / np.maximum(np.hypot(*np.ogrid[:16, :16]), 1)
    cells = fft.idctn(waves, axes=(1, 2), norm="ortho")
    cells -= cells.mean(axis=(1, 2), keepdims=True)
    return np.rint(cells * (127 / np.abs(cells).max(axis=(1, 2), keepdims=True))).astype(np.int8)


def test_no_pair_is_missed_among_thousands():
    """Against a comparison of each with each. 400 of 4,000 have a partner near the limit or below, half of them mirrored."""
    random = np.random.RandomState(0)
    shapes = random_shapes(4000, random)
    for i in range(400):
        strength = 12 * random.uniform()
        partner = shapes[2000 + i].astype(float)[:, :: 1 if i % 2 else -1] + strength * random_shapes(1, random)[0] / 127
        shapes[i] = np.clip(np.rint(partner), -127, 127)
    points = describe(shapes)
    exhaustive = set()
    for mirrored, others in ((False, points), (True, points * SIGNS)):
        distances = np.sqrt(np.maximum(2 - 2 * points @ others.T, 0))
        exhaustive |= {(int(i), int(j), mirrored) for i, j in zip(*np.nonzero(distances <= LIMIT), strict=True) if i < j}
    assert len(exhaustive) > 250
    pairs = candidates(shapes, np.arange(4000), LIMIT)
    assert exhaustive <= set(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.mirrored.tolist(), strict=True))
    assert len(pairs.first) < 10 * len(exhaustive)


def test_describing_the_mirror_image_is_changing_signs(photo):
    rows = rows_of([photo(0), photo(0).transpose(FLIP)])
    np.testing.assert_allclose(describe(rows["shape"][:1]) * SIGNS, describe(rows["shape"][1:]), atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(describe(rows["shape"]), axis=1), 1, rtol=1e-5)


def test_points_are_the_weighted_cosine_transform():
    cells = np.random.RandomState(0).randint(-127, 128, size=[16, 16]).astype(np.int8)
    at = (np.arange(16) + 0.5) * np.pi / 16
    expected = [np.hypot(v, u) * (cells * np.outer(np.cos(v * at), np.cos(u * at))).sum() for v in range(12) for u in range(12)]
    scales = [(1 if v else 0.5**0.5) * (1 if u else 0.5**0.5) for v in range(12) for u in range(12)]
    expected = np.array(expected) * scales
    np.testing.assert_allclose(describe(cells[np.newaxis])[0], expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_few_pictures_are_no_trouble(photo, number):
    assert find_copies(rows_of([photo(seed) for seed in range(number)]), LIMIT) == ([], [])


def test_the_order_of_the_pictures_does_not_matter_for_who_is_alike(photo):
    pictures = [change(photo(seed)) for seed in range(8) for change in (lambda p: p, COPIES["JPEG 30"], COPIES["half"])]
    rows = rows_of(pictures)
    order = np.random.RandomState(1).permutation(len(rows))
    sets = {frozenset(group.tolist()) for group in find_copies(rows, LIMIT)[1]}
    assert {frozenset(order[group].tolist()) for group in find_copies(rows[order], LIMIT)[1]} == sets
    assert len(sets) == 8
