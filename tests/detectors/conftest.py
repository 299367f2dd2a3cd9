"""The makers of files are a module of this folder; the network is made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import inception_files
import vgg_files


@pytest.fixture(autouse=True)
def single(one_thread):
    """Every test here computes with one thread."""


@pytest.fixture(scope="session")
def plain():
    """VGG16's convolutions as a Sequential, random."""
    return vgg_files.sequential()


@pytest.fixture(scope="session")
def lins():
    """Random weights of channels."""
    return vgg_files.linear_weights()


@pytest.fixture(scope="session")
def network_file(tmp_path_factory, plain):
    """A file of torch.save with torchvision's names."""
    import torch

    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(vgg_files.torchvision_state(plain), path)
    return path


@pytest.fixture(scope="session")
def inception_state():
    """Inception-v3's weights under the names of pytorch-fid, random."""
    return inception_files.random_state()


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory, inception_state):
    """A file of torch.save, as pytorch-fid's."""
    import torch

    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(inception_state, path)
    return path


@pytest.fixture(scope="session")
def inception(inception_file):
    """Inception-v3 with these weights."""
    from sgtool.detectors import load_inception

    return load_inception(inception_file)[0]
