"""A ladder from its settings to the line it ends with; trainings are stood in for."""

import json
import shlex

import click
import numpy as np
import pytest
import torch
from PIL import Image

from sgtool import cli, snapshots
from sgtool.datasets import open_dataset
from sgtool.errors import UserError
from sgtool.tuning import judge as judge_module
from sgtool.tuning import tune
from sgtool.tuning.judge import Judge

SETTINGS = {"cfg": "tiny", "device": "cpu", "cond": None, "aug": "noaug"}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few pictures are measured."""
    monkeypatch.setattr(judge_module, "MOST_PICTURES", 24)


@pytest.fixture
def ladder(tmp_path, data, trainer):
    """Function that runs a ladder: (**options) -> (what it returns, what it told)."""

    def run(**options):
        told = []
        given = {"data": data, "outdir": tmp_path / "ladder", "train": trainer, "passed": SETTINGS, "words": ["--cfg", "tiny"]}
        result = tune(**given | {"gammas": [0.5, 2.0], "kimg": 1, "say": told.append} | options)
        return result, "\n".join(told)

    return run


def stored(tmp_path):
    return json.loads((tmp_path / "ladder/tune.json").read_text())


def test_rungs_share_data_and_options_and_differ_in_gamma_alone(ladder, trainer, data, tmp_path):
    ladder()
    one, two = trainer.calls
    assert (one["gamma"], two["gamma"]) == (0.5, 2.0)
    assert one["outdir"] == str(tmp_path / "ladder/gamma0.5")
    assert one | {"gamma": 0, "outdir": ""} == two | {"gamma": 0, "outdir": ""}
    assert one["data"] == str(data)
    assert (one["kimg"], one["tick"], one["snap"], one["aug"]) == (1, 0.125, 4, "noaug")


def test_it_ends_with_a_table_a_picture_and_a_line_that_parses(ladder, tmp_path, data):
    result, told = ladder()
    assert told.count("<- chosen") == 1
    rows = [line.split() for line in told.splitlines() if line.lstrip().startswith(("0.5", "2 "))]
    assert [row[0] for row in rows] == ["0.5", "2"]
    assert rows[0][5:10] == ["0.25", "0.125", "3", "7.000", "1.000"]  # r_t, p, skipped, the losses of ticks 6 and 7
    line = shlex.split(result["command"])
    assert line == ["sgtool", "train", "--outdir", "runs", "--data", str(data), "--cfg", "tiny", "--gamma", line[-1]]
    assert float(line[-1]) == result["chosen"].gamma
    parent = click.Context(cli.main, **cli.main.context_settings)
    params = cli.main.get_command(None, "train").make_context("train", line[2:], parent=parent).params
    assert (params["gamma"], params["cfg"]) == (result["chosen"].gamma, "tiny")
    assert result["command"] in told
    values = stored(tmp_path)
    assert (values["chosen"], values["command"]) == (result["chosen"].rung, result["command"])
    assert list(values["outcomes"]) == ["gamma0.5", "gamma2"]


def test_rows_of_the_picture_show_the_same_latents_above_them_the_real_ones(ladder, tmp_path, data):
    ladder()
    sheet = np.asarray(Image.open(tmp_path / "ladder/tune.png"))
    cell, gap = 64, 2  # 16 pixels, enlarged by 4
    assert sheet.shape[0] == 3 * cell + 2 * gap
    left = sheet.shape[1] - 12 * (cell + gap) + gap
    assert left > 50  # the labels
    judge = Judge(open_dataset(data), "cpu", False)
    for row, name in ((1, "gamma0.5"), (2, "gamma2")):
        (run,) = (tmp_path / "ladder" / name).iterdir()
        expected = judge.row(snapshots.load(run).G_ema)[0, :, :, 0].repeat(4, 0).repeat(4, 1)
        top = row * (cell + gap)
        assert np.array_equal(sheet[top : top + cell, left : left + cell], expected)
    real = judge.real_row[0, :, :, 0].repeat(4, 0).repeat(4, 1)
    assert np.array_equal(sheet[:cell, left : left + cell], real)


def test_a_finished_rung_is_not_run_again(ladder, trainer):
    first, _ = ladder()
    again, told = ladder()
    assert len(trainer.calls) == 2
    assert "Rung 1 of 2: gamma 0.5 is done." in told
    assert again["command"] == first["command"]
    assert [o.as_dict() for o in again["outcomes"]] == [o.as_dict() for o in first["outcomes"]]


def test_a_stopped_ladder_goes_on_in_the_run_it_was_in(ladder, trainer, tmp_path):
    trainer.kill_at = 2.0
    with pytest.raises(SystemExit) as stop:
        ladder()
    assert stop.value.code == 143
    assert list(stored(tmp_path)["outcomes"]) == ["gamma0.5"]
    ladder()
    assert [call["gamma"] for call in trainer.calls] == [0.5, 2.0, 2.0]
    last = trainer.calls[-1]
    assert last["resume"] == str(tmp_path / "ladder/gamma2/00000-run")
    assert "outdir" not in last


def test_a_rung_that_was_killed_before_its_first_checkpoint_begins_anew(ladder, trainer, tmp_path):
    trainer.kill_at = 0.5
    with pytest.raises(SystemExit):
        ladder()
    (tmp_path / "ladder/gamma0.5/00000-run/checkpoint.pkl").unlink()
    result, _ = ladder()
    assert trainer.calls[1] == trainer.calls[0]
    assert result["outcomes"][0].folder == str(tmp_path / "ladder/gamma0.5/00001-run")


def test_what_a_run_keeps_from_its_start_is_not_said_again(ladder, trainer, tmp_path):
    passed = SETTINGS | {"resume": "source.pkl", "grow": True, "desc": "x", "freezed": 2}
    trainer.kill_at = 0.5
    with pytest.raises(SystemExit):
        ladder(passed=passed)
    ladder(passed=passed)
    one, two = trainer.calls[:2]
    assert (one["resume"], one["grow"], one["desc"]) == ("source.pkl", True, "x")
    assert two["resume"] == str(tmp_path / "ladder/gamma0.5/00000-run")
    assert {"grow", "desc"}.isdisjoint(two)
    assert two["freezed"] == 2


def test_more_rungs_and_longer_ones_may_be_asked_for_later(ladder, trainer):
    ladder()
    ladder(gammas=[0.5, 2.0, 8.0])
    assert [call["gamma"] for call in trainer.calls] == [0.5, 2.0, 8.0]
    result, _ = ladder(kimg=3)
    assert [(call["gamma"], call["kimg"]) for call in trainer.calls[3:]] == [(0.5, 3), (2.0, 3)]
    assert all("resume" in call for call in trainer.calls[3:])
    assert {outcome.kimg for outcome in result["outcomes"]} == {3}
    with pytest.raises(UserError, match="--kimg 2: the rung gamma0.5 was trained for 3 kimg. Give as much, or more."):
        ladder(kimg=2)


def test_a_rung_with_numbers_that_are_not_finite_loses_and_the_ladder_goes_on(ladder, trainer, tmp_path):
    trainer.faults = {0.5: "8 of the last 10 steps had gradients that are no finite numbers"}
    result, told = ladder()
    assert result["chosen"].gamma == 2.0
    assert "lost: 8 of the last 10 steps had gradients" in told
    ladder()
    assert len(trainer.calls) == 2


def test_weights_that_are_not_finite_lose(ladder, trainer):
    trainer.scales = {2.0: float("nan")}
    result, told = ladder()
    assert result["chosen"].gamma == 0.5
    assert "lost: its pictures hold numbers that are not finite" in told


def test_a_collapsed_rung_loses(ladder, trainer):
    trainer.scales = {0.5: 0.0}
    result, told = ladder()
    assert result["chosen"].gamma == 2.0
    assert "lost: collapsed: msssim 1.00" in told


def test_a_run_whose_settings_were_changed_on_the_way_loses(ladder, trainer, tmp_path):
    ladder()
    (run,) = (tmp_path / "ladder/gamma0.5").iterdir()
    (run / "events.jsonl").write_text(json.dumps({"kind": "change", "text": "gamma 0.5 -> 1", "nimg": 500}) + "\n{half a li")
    result, told = ladder(kimg=2)
    assert "lost: had its settings changed by hand at kimg 0.5" in told
    assert result["chosen"].gamma == 2.0


def test_where_all_have_lost_none_is_chosen_but_the_table_is_there(ladder, trainer, tmp_path):
    trainer.scales = {0.5: 0.0, 2.0: 0.0}
    with pytest.raises(UserError, match="No rung has come through, so none is chosen. Try larger --gammas or smaller --glr"):
        ladder()
    assert stored(tmp_path)["chosen"] is None
    assert (tmp_path / "ladder/tune.png").exists()


def test_a_mistake_ends_the_ladder(ladder, trainer):
    trainer.error = UserError("The disk is full.")
    with pytest.raises(UserError, match="The disk is full"):
        ladder()
    assert len(trainer.calls) == 1


def test_without_gammas_three_lie_around_the_one_that_training_takes(ladder, trainer):
    ladder(gammas=None)
    assert [call["gamma"] for call in trainer.calls] == [0.0004, 0.0016, 0.0064]  # 0.0002 * 16 * 16 / 32


def test_the_middle_may_be_given(ladder, trainer):
    ladder(gammas=None, around=1.0)
    assert [call["gamma"] for call in trainer.calls] == [0.25, 1.0, 4.0]


def test_learning_rates_are_tried_with_each_gamma(ladder, trainer):
    result, told = ladder(rates=[0.001, 0.002], passed=SETTINGS | {"dlr": 0.003})
    assert [(call["gamma"], call["glr"], call["dlr"]) for call in trainer.calls] == [
        (gamma, rate, 0.003) for gamma in (0.5, 2.0) for rate in (0.001, 0.002)
    ]
    assert "--glr 0.00" in result["command"]
    assert "--dlr 0.003" in result["command"]


def test_a_dry_run_tells_the_rungs_and_writes_nothing(ladder, trainer, tmp_path):
    result, told = ladder(dry_run=True)
    assert result is None
    assert told == "A ladder of 2 rungs of 1 kimg each: gamma 0.5; gamma 2"
    assert [call["dry_run"] for call in trainer.calls] == [True]
    assert not (tmp_path / "ladder").exists()


def test_with_labels_all_rungs_show_the_same_classes(data):
    judge = Judge(open_dataset(data), "cpu", True)
    assert judge.c.shape == (24, 3)
    labels = open_dataset(data).labels[np.random.RandomState(0).permutation(24)]
    assert judge.c.argmax(1).tolist() == labels.tolist()
    assert torch.equal(judge.c.sum(1), torch.ones(24))


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        ({"gamma": 1.0}, "--gamma: a ladder tries several. Write --gammas 0.5,2"),
        ({"resume": "auto"}, "--resume auto: a ladder that was stopped goes on by the same line."),
        ({"batch": 0}, "--batch 0: it must be 1 or more."),
        ({"subset": 100}, "--subset 100"),
        ({"augpipe": "flip"}, "--augpipe flip: flip is no augmentation. Did you mean xflip?"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(ladder, trainer, tmp_path, passed, words):
    with pytest.raises(UserError) as error:
        ladder(passed=SETTINGS | passed)
    assert words in error.value.message
    assert trainer.calls == []
    assert not (tmp_path / "ladder").exists()


def test_a_run_folder_is_no_source(ladder, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="name a snapshot, such as network-snapshot-001000.pkl"):
        ladder(passed=SETTINGS | {"resume": str(tmp_path / "run")})


def test_under_torchrun_it_says_what_to_do(ladder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="leave torchrun out, and use --gpus N"):
        ladder()


def test_a_folder_with_something_else_is_left_alone(ladder, trainer, tmp_path):
    (tmp_path / "ladder").mkdir()
    (tmp_path / "ladder/mine.txt").write_text("")
    with pytest.raises(UserError, match="holds something, but no tune.json of a ladder. Choose a new folder."):
        ladder()
    assert trainer.calls == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"passed": SETTINGS | {"mirror": True}}, "begun with --mirror its default, not True"),
        ({"passed": SETTINGS | {"aug": None}}, "begun with --aug noaug, not its default"),
    ],
)
def test_another_line_in_the_same_folder_is_refused(ladder, trainer, change, words):
    ladder()
    with pytest.raises(UserError) as error:
        ladder(**change)
    assert words in error.value.message
    assert len(trainer.calls) == 2


def test_options_that_change_no_number_may_differ(ladder, trainer):
    ladder()
    ladder(passed=SETTINGS | {"workers": 1, "gpus": 1, "snap": 5, "metrics": ()})
    assert len(trainer.calls) == 2


def test_other_data_in_the_same_folder_are_refused(ladder, data, tmp_path):
    ladder()
    other = data.rename(tmp_path / "other.zip")
    with pytest.raises(UserError, match="begun with --data .*noise.zip. Give that, or another --outdir."):
        ladder(data=other)


@pytest.mark.parametrize("text", ["", "[]", '{"options": {}}', "{half"])
def test_a_damaged_record_is_named(ladder, tmp_path, text):
    ladder()
    (tmp_path / "ladder/tune.json").write_text(text)
    with pytest.raises(UserError, match="tune.json is damaged"):
        ladder()


def test_rungs_of_other_data_are_not_compared(ladder, tmp_path, config_of):
    ladder()
    for name, seed in (("gamma0.5", 0), ("gamma2", 1)):
        (run,) = (tmp_path / "ladder" / name).iterdir()
        (run / "training_options.json").write_text(json.dumps({"config": config_of(seed)}))
    with pytest.raises(UserError, match="gamma0.5 and gamma2 differ in seed, so that they cannot be compared"):
        ladder()


@pytest.fixture
def config_of(data):
    """Function that gives a run's configuration as plain values: (seed) -> dict."""
    from sgtool.training.resolve import Options, resolve

    return lambda seed: resolve(Options(cfg="tiny", seed=seed), open_dataset(data))[0].as_dict()
