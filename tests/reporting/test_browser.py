"""The pages in a real browser: curves are drawn, the slider moves, values follow the mouse, no error, nothing is loaded."""

import json

import pytest

from sgtool.reporting import write_comparison, write_report

SEEN = "document.querySelector('.fakes img').src"
TITLES = "[...document.querySelectorAll('.plot h3')].map((e) => e.textContent)"


def plot_index(browser, title):
    return browser.run(TITLES).index(title)


def values(browser, title):
    """What the legend of a plot says: names and values."""
    return browser.run(f"document.querySelector('[data-plot=\"{plot_index(browser, title)}\"] .values').textContent")


def canvas(browser, title):
    return f'[data-plot="{plot_index(browser, title)}"] .canvas'


@pytest.fixture
def page(browser, make_run):
    browser.open(write_report(make_run(ticks=21)))
    yield browser
    assert browser.errors() == []


def test_every_plot_has_a_line_with_as_many_points_as_ticks(page):
    paths = page.run("[...document.querySelectorAll('.plot')].map((e) => e.querySelector('.curve').getAttribute('d'))")
    assert len(paths) == len(page.run(TITLES)) >= 10
    losses = paths[plot_index(page, "Losses")]
    assert losses.count("M") == 1
    assert losses.count("L") == 20
    assert "NaN" not in "".join(paths)


def test_the_line_goes_where_the_values_are(page):
    d = page.run(f"document.querySelector('{canvas(page, 'Augmentation: p')} .curve').getAttribute('d')")
    points = [tuple(map(float, point.split())) for point in d.lstrip("M").split("L")]
    xs, ys = zip(*points, strict=True)
    assert all(b > a for a, b in zip(xs, xs[1:], strict=False))
    assert all(b < a for a, b in zip(ys, ys[1:], strict=False))  # p rises with the ticks: upward on the page
    steps = [b - a for a, b in zip(xs, xs[1:], strict=False)]
    assert max(steps) - min(steps) < 0.3


def test_the_slider_changes_the_pictures_by_mouse_and_keys(page):
    newest = page.run(SEEN)
    assert page.run("document.getElementById('when').textContent") == "kimg 10"
    page.run("document.getElementById('time').focus()")
    for key, words in (("Home", "before training"), ("ArrowRight", "kimg 0"), ("ArrowRight", "kimg 5"), ("End", "kimg 10")):
        page.key(key)
        page.wait(f"document.getElementById('when').textContent === '{words}'")
        assert page.run("document.querySelector('.fakes .at').textContent") == words
        assert (page.run(SEEN) == newest) == (key == "End")
    assert page.run("document.getElementById('time').getAttribute('aria-valuetext')") == "kimg 10"
    page.click("#time")  # its middle
    page.wait(f"{SEEN} !== {json.dumps(newest)}")
    assert page.run("document.querySelector('.fakes img').naturalWidth") == 80


def test_playing_goes_from_the_first_to_the_newest_and_stops(page):
    page.click("#play")
    page.wait("document.getElementById('when').textContent === 'before training'")
    page.wait("document.getElementById('when').textContent === 'kimg 10' && document.getElementById('play').textContent === '▶'")


def test_the_mouse_over_one_plot_shows_the_values_of_that_moment_in_all(page):
    assert values(page, "Augmentation: p") == "p 0.02"
    x, y, width = page.place(canvas(page, "Losses"))
    page.mouse("Moved", x + 20, y)
    page.wait(f"document.querySelector('{canvas(page, 'Losses')} .cursor').getAttribute('d') !== ''")
    shown = float(values(page, "Augmentation: p").split()[1])
    assert shown in (0.010, 0.011)
    assert "kimg 1" in page.run(f"document.querySelector('[data-plot=\"{plot_index(page, 'Losses')}\"] .note').textContent")
    page.mouse("Moved", 2, 2)
    page.wait("document.querySelector('.cursor').getAttribute('d') === ''")
    assert values(page, "Augmentation: p") == "p 0.02"


def test_arrow_keys_move_the_cursor(page):
    page.run(f"document.querySelector('{canvas(page, 'Losses')}').focus()")
    for _ in range(5):
        page.key("ArrowLeft")
    page.wait("document.querySelector('.cursor').getAttribute('d') !== ''")
    assert float(values(page, "Augmentation: p").split()[1]) == 0.018


def test_dragging_shows_a_part_and_a_button_the_whole(page):
    whole = page.run("document.getElementById('span').textContent")
    assert whole == "0 to 20 kimg"
    x, y, width = page.place(canvas(page, "Losses"))
    page.mouse("Moved", x - 30, y)
    page.mouse("Pressed", x - 30, y)
    page.mouse("Moved", x + 30, y)
    page.mouse("Released", x + 30, y)
    page.wait(f"document.getElementById('span').textContent !== '{whole}'")
    low, high = page.run("document.getElementById('span').textContent").removesuffix(" kimg").split(" to ")
    assert 6 < float(low) < 9.9
    assert 10.1 < float(high) < 14
    page.click("#whole")
    page.wait(f"document.getElementById('span').textContent === '{whole}'")


def test_a_click_in_a_plot_shows_the_pictures_of_that_moment(page):
    x, y, width = page.place(canvas(page, "Losses"))
    page.mouse("Moved", x - width / 4, y)
    page.mouse("Pressed", x - width / 4, y)
    page.mouse("Released", x - width / 4, y)
    page.wait("document.getElementById('when').textContent === 'kimg 5'")
    assert page.run("document.querySelector('.moment').getAttribute('d')") != ""


def test_events_are_marks_with_their_text_and_the_best_value_is_marked(page):
    marks = page.run(f"[...document.querySelectorAll('{canvas(page, 'Losses')} .mark title')].map((e) => e.textContent)")
    assert marks == ["start at 0 kimg: a new run", "rollback at 7 kimg: losses were no numbers"]
    assert page.run(f"document.querySelectorAll('{canvas(page, 'Metric swd16k')} .best').length") == 1
    assert page.run(f"document.querySelectorAll('{canvas(page, 'Metric swd16k')} .bar').length") == 3
    x, y, width = page.place(canvas(page, "Losses"))
    left = page.run(f"document.querySelectorAll('{canvas(page, 'Losses')} .stem')[1].getBoundingClientRect().x")
    page.mouse("Moved", left, y)
    page.wait("document.querySelector('.note').textContent.includes('losses were no numbers')")


def test_what_a_screen_reader_reads_is_there(page):
    labels = page.run("[...document.querySelectorAll('.canvas svg[role=img]')].map((e) => e.getAttribute('aria-label'))")
    assert all(label and ":" in label for label in labels)
    assert page.run("[...document.querySelectorAll('img')].every((e) => e.alt.length > 10)")
    assert page.run(
        "[...document.querySelectorAll('input, button')].every((e) => e.labels?.length || e.ariaLabel || e.textContent)"
    )
    assert page.run("document.documentElement.lang") == "en"


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True), (2200, False)])
def test_nothing_is_wider_than_the_window_and_text_can_be_read(browser, make_run, width, dark):
    folder = make_run("0000-" + "long" * 20, dataset="x" * 80)
    browser.open(write_report(folder), width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    ground, ink = (browser.run(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    light = [sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) for colour in (ground, ink)]
    assert (light[0] < light[1]) == dark
    assert abs(light[0] - light[1]) > 450
    assert browser.errors() == []


def test_a_comparison_moves_all_pictures_at_once_and_hides_runs(browser, make_run):
    browser.open(write_comparison([make_run("00000-a", ticks=21), make_run("00001-b", ticks=11, gamma=2)]))
    assert browser.run(f"document.querySelectorAll('{canvas(browser, 'Losses: G')} .curve').length") == 2
    newest = browser.run("[...document.querySelectorAll('.fakes img')].map((e) => e.src)")
    browser.run("document.getElementById('time').focus()")
    browser.key("Home")
    browser.wait("document.getElementById('when').textContent === 'before training'")
    moved = browser.run("[...document.querySelectorAll('.fakes img')].map((e) => e.src)")
    assert [a != b for a, b in zip(newest, moved, strict=True)] == [True, True]
    browser.click(".run")
    browser.wait(f"document.querySelectorAll('{canvas(browser, 'Losses: G')} .curve').length === 1")
    assert browser.errors() == []


def test_hostile_names_are_shown_and_run_nothing(browser, make_run):
    hostile = "</script><script>document.title='broken in'</script><img src=x onerror=\"document.title='broken in'\">"
    folder = make_run("run <i>", dataset=hostile, **{hostile: hostile})
    for name, row in (
        ("events.jsonl", {"kind": "<b>", "text": hostile, "nimg": 3000}),
        ("stats.jsonl", {"nimg": 30000, hostile: {"mean": 1.0}, "Loss/G/loss": {"mean": None}}),
        ("metric-<i>.jsonl", {"results": {hostile: 1.0}, "nimg": 3000}),
    ):
        with open(folder / name, "a") as file:
            file.write(json.dumps(row) + "\n")
    (folder / "log.txt").write_text(f"Warning: {hostile}\n")
    browser.open(write_report(folder))
    assert browser.run("document.title") == "run <i>: 30 kimg"
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert hostile.replace('"', "").split("<img")[0] in browser.run("document.body.innerText").replace('"', "")
    assert browser.errors() == []


def test_a_script_that_got_in_all_the_same_is_not_run(browser, make_run):
    path = write_report(make_run())
    text = path.read_text(encoding="utf-8").replace("</main>", "<script>document.title = 'broken in'</script></main>")
    path.write_text(text, encoding="utf-8")
    browser.open(path)
    assert browser.run("document.title") != "broken in"
    assert any("Content Security Policy" in str(error) for error in browser.errors())


@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_the_first_ticks_are_drawn_too(browser, make_run, ticks):
    folder = make_run(ticks=ticks)
    for path in folder.glob("metric-*"):
        path.unlink()
    browser.open(write_report(folder))
    assert browser.run("document.querySelectorAll('.plot circle.dot, .plot .curve').length > 0") == (ticks > 0)
    assert browser.errors() == []


def test_a_value_without_neighbours_is_a_dot(browser, make_run):
    folder = make_run(ticks=20)
    rows = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    for i in (9, 11):
        rows[i]["Loss/D/loss"]["mean"] = None
    (folder / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    browser.open(write_report(folder))
    selector = canvas(browser, "Losses")
    assert browser.run(f"document.querySelectorAll('{selector} .curve')[1].getAttribute('d')").count("M") == 3
    assert browser.run(f"document.querySelectorAll('{selector} svg svg circle.dot').length") == 1


def test_thousands_of_ticks_have_a_band_of_extremes(browser, make_run):
    browser.open(write_report(make_run(ticks=2000)))
    d = browser.run(f"document.querySelector('{canvas(browser, 'Losses')} .curve').getAttribute('d')")
    assert 300 <= d.count("L") + 1 <= 600
    assert browser.run(f"document.querySelectorAll('{canvas(browser, 'Losses')} .band').length") == 2
    assert browser.errors() == []
