"""Models by name: the public StyleGAN2 models of NVIDIA, with the addresses under which NVIDIA published them.

Addresses are from the READMEs of stylegan2-ada-pytorch and stylegan3, from `--resume` of stylegan2-ada-pytorch, and from
`pretrained_networks.py` of stylegan2. A SHA-256 stands here where at least two people who published a copy, or a pin, of the
file agree on it; NVIDIA gives none.
"""

from typing import NamedTuple

ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
SOURCES = f"{ADA}transfer-learning-source-nets/"
TENSORFLOW = "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/"
CATALOG = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"


class Known(NamedTuple):
    """A published model."""

    url: str
    sha256: str | None
    what: str  # what it draws, and its size in pixels


KNOWN = {
    # the sources that train.py of stylegan2-ada-pytorch knows by these names
    "ffhq256": Known(f"{SOURCES}ffhq-res256-mirror-paper256-noaug.pkl", None, "faces (FFHQ), 256x256"),
    "ffhq512": Known(f"{SOURCES}ffhq-res512-mirror-stylegan2-noaug.pkl", None, "faces (FFHQ), 512x512"),
    "ffhq1024": Known(f"{SOURCES}ffhq-res1024-mirror-stylegan2-noaug.pkl", None, "faces (FFHQ), 1024x1024"),
    "celebahq256": Known(
        f"{SOURCES}celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl", None, "faces (CelebA-HQ), 256x256"
    ),
    "lsundog256": Known(f"{SOURCES}lsundog-res256-paper256-kimg100000-noaug.pkl", None, "dogs (LSUN Dog), 256x256"),
    # stylegan2-ada-pytorch
    "ffhq": Known(
        f"{ADA}ffhq.pkl", "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c", "faces (FFHQ), 1024x1024"
    ),
    "metfaces": Known(
        f"{ADA}metfaces.pkl",
        "880a460d011a3696c088f58f5844b44271b17903963f2671f96f72dfbce5f76f",
        "faces in works of art (MetFaces), 1024x1024",
    ),
    "afhqcat": Known(f"{ADA}afhqcat.pkl", None, "cats (AFHQ), 512x512"),
    "afhqdog": Known(f"{ADA}afhqdog.pkl", None, "dogs (AFHQ), 512x512"),
    "afhqwild": Known(f"{ADA}afhqwild.pkl", None, "wild animals (AFHQ), 512x512"),
    "cifar10": Known(
        f"{ADA}cifar10.pkl",
        "f8952c74e23da2186d147ad871c48780bd59500ee37c301201081ee8e0cb32f1",
        "CIFAR-10 by class, 32x32",
    ),
    "brecahad": Known(f"{ADA}brecahad.pkl", None, "tissue under the microscope (BreCaHAD), 512x512"),
    # stylegan2, TensorFlow
    "stylegan2-ffhq-config-f": Known(
        f"{TENSORFLOW}stylegan2-ffhq-config-f.pkl",
        "adf127ea7bb8a7788c8bdeda3c9937f7310b669b09ecf799ca53a631ff46948d",
        "faces (FFHQ), 1024x1024",
    ),
    "stylegan2-car-config-f": Known(
        f"{TENSORFLOW}stylegan2-car-config-f.pkl",
        "e1618eee2b3ce87c4a3849442f7850ef12a478556bff035c8e09ee7e23b3794c",
        "cars (LSUN Car), 512x384 in 512x512",
    ),
    "stylegan2-cat-config-f": Known(
        f"{TENSORFLOW}stylegan2-cat-config-f.pkl",
        "08940fd616cfaf6bc7b0286b5d1a0b3f70febb26e136d64716c8d3f5e9bd3883",
        "cats (LSUN Cat), 256x256",
    ),
    "stylegan2-church-config-f": Known(
        f"{TENSORFLOW}stylegan2-church-config-f.pkl",
        "4090c5f83b44b83475c84864188aa39a0fb72694492302b7e6af36aad0d18104",
        "churches (LSUN Church), 256x256",
    ),
    "stylegan2-horse-config-f": Known(
        f"{TENSORFLOW}stylegan2-horse-config-f.pkl",
        "cbc73372c7d82d095913ca8b4b9f170560777175bd7c3b8a75dd55d70807f32b",
        "horses (LSUN Horse), 256x256",
    ),
    "stylegan2-ffhq-config-e": Known(f"{TENSORFLOW}stylegan2-ffhq-config-e.pkl", None, "faces (FFHQ), 1024x1024"),
    "stylegan2-car-config-e": Known(f"{TENSORFLOW}stylegan2-car-config-e.pkl", None, "cars (LSUN Car), 512x384 in 512x512"),
    # StyleGAN2 in the stylegan3 repository's layout
    "stylegan2-ffhq-1024x1024": Known(f"{CATALOG}stylegan2-ffhq-1024x1024.pkl", None, "faces (FFHQ), 1024x1024"),
    "stylegan2-ffhq-512x512": Known(f"{CATALOG}stylegan2-ffhq-512x512.pkl", None, "faces (FFHQ), 512x512"),
    "stylegan2-ffhq-256x256": Known(f"{CATALOG}stylegan2-ffhq-256x256.pkl", None, "faces (FFHQ), 256x256"),
    "stylegan2-ffhqu-1024x1024": Known(f"{CATALOG}stylegan2-ffhqu-1024x1024.pkl", None, "unaligned faces (FFHQ-U), 1024x1024"),
    "stylegan2-ffhqu-256x256": Known(f"{CATALOG}stylegan2-ffhqu-256x256.pkl", None, "unaligned faces (FFHQ-U), 256x256"),
    "stylegan2-metfaces-1024x1024": Known(
        f"{CATALOG}stylegan2-metfaces-1024x1024.pkl", None, "faces in works of art (MetFaces), 1024x1024"
    ),
    "stylegan2-metfacesu-1024x1024": Known(
        f"{CATALOG}stylegan2-metfacesu-1024x1024.pkl", None, "unaligned faces in works of art (MetFaces-U), 1024x1024"
    ),
    "stylegan2-afhqv2-512x512": Known(f"{CATALOG}stylegan2-afhqv2-512x512.pkl", None, "animals (AFHQv2), 512x512"),
    "stylegan2-afhqcat-512x512": Known(f"{CATALOG}stylegan2-afhqcat-512x512.pkl", None, "cats (AFHQ), 512x512"),
    "stylegan2-afhqdog-512x512": Known(f"{CATALOG}stylegan2-afhqdog-512x512.pkl", None, "dogs (AFHQ), 512x512"),
    "stylegan2-afhqwild-512x512": Known(f"{CATALOG}stylegan2-afhqwild-512x512.pkl", None, "wild animals (AFHQ), 512x512"),
    "stylegan2-brecahad-512x512": Known(
        f"{CATALOG}stylegan2-brecahad-512x512.pkl", None, "tissue under the microscope (BreCaHAD), 512x512"
    ),
    "stylegan2-cifar10-32x32": Known(f"{CATALOG}stylegan2-cifar10-32x32.pkl", None, "CIFAR-10, 32x32"),
    "stylegan2-celebahq-256x256": Known(f"{CATALOG}stylegan2-celebahq-256x256.pkl", None, "faces (CelebA-HQ), 256x256"),
    "stylegan2-lsundog-256x256": Known(f"{CATALOG}stylegan2-lsundog-256x256.pkl", None, "dogs (LSUN Dog), 256x256"),
}
