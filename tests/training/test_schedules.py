import pytest

from sgtool.training.schedules import auto_batch, auto_ema_kimg, auto_gamma, ema_beta, lazy_adam

AUTO = {  # resolution: (batch, gamma) on 1, 2, 4 and 8 GPUs; the numbers of stylegan2-ada-pytorch's train.py
    64: ((32, 0.0256), (64, 0.0128), (64, 0.0128), (64, 0.0128)),
    128: ((32, 0.1024), (64, 0.0512), (64, 0.0512), (64, 0.0512)),
    256: ((16, 0.8192), (32, 0.4096), (64, 0.2048), (64, 0.2048)),
    512: ((8, 6.5536), (16, 3.2768), (32, 1.6384), (64, 0.8192)),
    1024: ((4, 52.4288), (8, 26.2144), (16, 13.1072), (32, 6.5536)),
}


@pytest.mark.parametrize("resolution", AUTO)
def test_automatic_batch_and_gamma_are_the_published_ones(resolution):
    for gpus, (batch, gamma) in zip((1, 2, 4, 8), AUTO[resolution], strict=True):
        assert auto_batch(resolution, gpus) == batch
        assert auto_gamma(resolution, resolution, batch) == pytest.approx(gamma)


def test_automatic_batch_stays_between_its_limits():
    assert auto_batch(8192) == 1
    assert auto_batch(16) == 32
    assert auto_batch(1024, gpus=128) == 128


def test_automatic_average_lives_longer_with_larger_batches():
    assert (auto_ema_kimg(32), auto_ema_kimg(64)) == (10, 20)


def test_half_of_the_average_is_left_after_its_half_life():
    kept = 1.0
    for step in range(20_000 // 32):
        kept *= ema_beta(32, 20, nimg=step * 32, ema_rampup=None)
    assert kept == pytest.approx(0.5)


def test_the_average_is_short_lived_early_in_the_training():
    assert ema_beta(32, 20, nimg=0, ema_rampup=0.05) == 0
    assert ema_beta(32, 20, nimg=64_000, ema_rampup=0.05) == pytest.approx(0.5 ** (32 / 3200))
    late = ema_beta(32, 20, nimg=10_000_000, ema_rampup=0.05)
    assert late == ema_beta(32, 20, nimg=0, ema_rampup=None) == pytest.approx(0.5 ** (32 / 20_000))
    assert ema_beta(32, 0, nimg=1000, ema_rampup=None) == 0


def test_adam_is_corrected_for_lazy_regularization():
    assert lazy_adam(0.002, (0.0, 0.99), 4) == (pytest.approx(0.0016), (0.0, pytest.approx(0.99**0.8)))
    lr, betas = lazy_adam(0.0025, (0.0, 0.99), 16)
    assert lr == pytest.approx(0.0025 * 16 / 17)
    assert betas == (0.0, pytest.approx(0.99 ** (16 / 17)))
    assert lazy_adam(0.002, (0.0, 0.99), None) == (0.002, (0.0, 0.99))
