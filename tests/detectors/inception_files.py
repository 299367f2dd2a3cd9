"""Weights of Inception-v3 with random numbers in each published layout, and the network by its definition, step by step."""

import torch
import torch.nn.functional as F
from torch import nn

PLAIN_STEPS = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "largest/2", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "largest/2"]
WAYS = {  # of each kind of block: a string for each branch; "a+b" are two that look at the same
    "A": [
        "branch1x1",
        "branch5x5_1 branch5x5_2",
        "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3",
        "mean branch_pool",
    ],
    "B": ["branch3x3", "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3", "largest/2"],
    "C": [
        "branch1x1",
        "branch7x7_1 branch7x7_2 branch7x7_3",
        "branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5",
        "mean branch_pool",
    ],
    "D": ["branch3x3_1 branch3x3_2", "branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4", "largest/2"],
    "E": [
        "branch1x1",
        "branch3x3_1 branch3x3_2a+branch3x3_2b",
        "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a+branch3x3dbl_3b",
        "mean branch_pool",
    ],
}
BLOCKS = dict(zip(("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"), "AAABCCCCDEE", strict=True))
UNPADDED = {"Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_4a_3x3"}
HALVING = {"Conv2d_1a_3x3", "Mixed_6a.branch3x3", "Mixed_6a.branch3x3dbl_3", "Mixed_7a.branch3x3_2", "Mixed_7a.branch7x7x3_4"}
WIDTHS = {
    **{"Conv2d_1a_3x3": (32, 3), "Conv2d_2a_3x3": (32, 3), "Conv2d_2b_3x3": (64, 3), "Conv2d_3b_1x1": (80, 1)},
    "Conv2d_4a_3x3": (192, 3),
}
GRAPH_NAMES = {  # what the graph calls a branch's step, by what torchvision calls it
    "A": {"branch1x1": "conv", "branch5x5_": "tower", "branch3x3dbl_": "tower_1", "branch_pool": "tower_2.conv"},
    "B": {"branch3x3": "conv", "branch3x3dbl_": "tower"},
    "C": {"branch1x1": "conv", "branch7x7_": "tower", "branch7x7dbl_": "tower_1", "branch_pool": "tower_2.conv"},
    "D": {"branch3x3_": "tower", "branch7x7x3_": "tower_1"},
    "E": {
        "branch1x1": "conv",
        "branch3x3_1": "tower_conv",
        "branch3x3_2a": "tower_mixed_conv",
        "branch3x3_2b": "tower_mixed_conv_1",
        "branch3x3dbl_1": "tower_1_conv",
        "branch3x3dbl_2": "tower_1_conv_1",
        "branch3x3dbl_3a": "tower_1_mixed_conv",
        "branch3x3dbl_3b": "tower_1_mixed_conv_1",
        "branch_pool": "tower_2_conv",
    },
}


def widths(block):
    """{name of a step: (channels after it, kernel)} of a block, from the paper's tables."""
    kind, last = BLOCKS[block], 32 if block == "5b" else 64
    if kind == "A":
        table = {"branch1x1": (64, 1), "branch5x5_1": (48, 1), "branch5x5_2": (64, 5), "branch3x3dbl_1": (64, 1)}
        return table | {"branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3), "branch_pool": (last, 1)}
    if kind == "B":
        return {"branch3x3": (384, 3), "branch3x3dbl_1": (64, 1), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3)}
    if kind == "C":
        n = {"6b": 128, "6c": 160, "6d": 160, "6e": 192}[block]
        table = {"branch1x1": (192, 1), "branch7x7_1": (n, 1), "branch7x7_2": (n, (1, 7)), "branch7x7_3": (192, (7, 1))}
        steps = [(n, 1), (n, (7, 1)), (n, (1, 7)), (n, (7, 1)), (192, (1, 7))]
        return table | {f"branch7x7dbl_{i + 1}": step for i, step in enumerate(steps)} | {"branch_pool": (192, 1)}
    if kind == "D":
        steps = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)]
        table = {"branch3x3_1": (192, 1), "branch3x3_2": (320, 3)}
        return table | {f"branch7x7x3_{i + 1}": step for i, step in enumerate(steps)}
    table = {"branch1x1": (320, 1), "branch3x3_1": (384, 1), "branch3x3dbl_1": (448, 1), "branch3x3dbl_2": (384, 3)}
    for stem in ("branch3x3_2", "branch3x3dbl_3"):
        table |= {f"{stem}a": (384, (1, 3)), f"{stem}b": (384, (3, 1))}
    return table | {"branch_pool": (192, 1)}


def random_state(seed=0):
    """A state dict under the names of pytorch-fid and torch-fidelity, in which features neither vanish nor explode."""
    generator, state = torch.Generator().manual_seed(seed), {}

    def draw(step, before, after, kernel):
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        fan = before * sides[0] * sides[1]
        state[f"{step}.conv.weight"] = torch.randn(after, before, *sides, generator=generator) * (2 / fan) ** 0.5
        state[f"{step}.bn.weight"] = torch.rand(after, generator=generator) + 0.5
        state[f"{step}.bn.bias"] = torch.randn(after, generator=generator) * 0.2
        state[f"{step}.bn.running_mean"] = torch.randn(after, generator=generator) * 0.2
        state[f"{step}.bn.running_var"] = torch.rand(after, generator=generator) + 0.3
        state[f"{step}.bn.num_batches_tracked"] = torch.tensor(0)

    channels = 3
    for step, (after, kernel) in WIDTHS.items():
        draw(step, channels, after, kernel)
        channels = after
    for block, kind in BLOCKS.items():
        table, total = widths(block), 0
        for way in WAYS[kind]:
            inside = channels
            for step in way.split():
                names = step.split("+") if step in table or "+" in step else []
                for name in names:
                    draw(f"Mixed_{block}.{name}", inside, *table[name])
                inside = sum(table[name][0] for name in names) if names else inside
            total += inside
        channels = total
    state["fc.weight"] = torch.randn(1008, channels, generator=generator) * 0.02
    state["fc.bias"] = torch.randn(1008, generator=generator)
    return state


def by_definition(state, x):
    """Every map of the network, [after the stem, after each block], of `x` `[N, 3, 299, 299]` in -1..1; slow and obvious."""

    def conv(step, x):
        weight = state[f"{step}.conv.weight"]
        padding = 0 if step in UNPADDED | HALVING else (weight.shape[2] // 2, weight.shape[3] // 2)
        x = F.conv2d(x, weight, stride=2 if step in HALVING else 1, padding=padding)
        gamma, beta, mean, variance = (state[f"{step}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        return F.relu(F.batch_norm(x, mean, variance, gamma, beta, eps=0.001))

    def run(block, way, x):
        for step in way.split():
            if step == "largest/2":
                x = F.max_pool2d(x, 3, stride=2)
            elif step == "mean" and block == "Mixed_7c.":
                x = F.max_pool2d(x, 3, stride=1, padding=1)
            elif step == "mean":
                inside = F.avg_pool2d(torch.ones_like(x), 3, stride=1, padding=1)  # how much of each window is in the map
                x = F.avg_pool2d(x, 3, stride=1, padding=1) / inside
            else:
                x = torch.cat([conv(block + name, x) for name in step.split("+")], dim=1)
        return x

    maps = [run("", " ".join(PLAIN_STEPS), x)]
    for block, kind in BLOCKS.items():
        maps.append(torch.cat([run(f"Mixed_{block}.", way, maps[-1]) for way in WAYS[kind]], dim=1))
    return maps


class Node(nn.Module):
    """A module with children, and a forward that would stop whoever runs it."""

    def forward(self, x):
        assert x.shape[0] < 0, "the program was run"
        return x


def graph_name(step):
    """What NVIDIA's file calls a step: "Mixed_5b.branch5x5_2" is "layers.mixed.tower.conv_1"."""
    if step in WIDTHS:
        i = list(WIDTHS).index(step)
        return "layers.conv" + (f"_{i}" if i else "")
    block, name = step.removeprefix("Mixed_").split(".")
    i, kind = list(BLOCKS).index(block), BLOCKS[block]
    table = GRAPH_NAMES[kind]
    inner = table.get(name)
    if inner is None:
        stem, number = name[:-1], int(name[-1])
        inner = table[stem] + ".conv" + (f"_{number - 1}" if number > 1 else "")
    return f"layers.mixed{f'_{i}' if i else ''}.{inner}"


def program(state):
    """A module with the names, and the missing gamma, of NVIDIA's inception-2015-12-05.pt."""
    root = Node()
    for key in state:
        if not key.endswith(".conv.weight"):
            continue
        step = key.removesuffix(".conv.weight")
        node = root
        for part in graph_name(step).split("."):
            if part not in dict(node.named_children()):
                node.add_module(part, Node())
            node = getattr(node, part)
        gamma = state[f"{step}.bn.weight"]
        node.weight = nn.Parameter(state[key] * gamma.view(-1, 1, 1, 1))
        node.beta = nn.Parameter(state[f"{step}.bn.bias"])
        node.mean = nn.Parameter(state[f"{step}.bn.running_mean"] * gamma)
        node.var = nn.Parameter(state[f"{step}.bn.running_var"])
    root.output = nn.Linear(2048, 1008)
    root.output.load_state_dict({"weight": state["fc.weight"], "bias": state["fc.bias"]})
    return root.requires_grad_(False).eval()
