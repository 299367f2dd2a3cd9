"""In which type a network computes, in words, and whether the machine is made for it."""

import torch

from sgtool.networks.layers import PRECISIONS, Block

NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
HARDWARE = {  # the CPU's instructions that make a type fast there, by PyTorch's names
    torch.bfloat16: ("amx_bf16", "avx512_bf16", "bf16"),
    torch.float16: ("amx_fp16", "avx512_fp16"),
}


def describe_precision(network, precision, device):
    """Say in which type a network computes, and warn of what a user would not expect.

    Args:
        network: a Generator or Discriminator.
        precision: "auto", "fp32", "fp16" or "bf16".
        device: torch.device.
    Returns:
        (words, such as "bfloat16 from 32 to 256 pixels, else float32"; list of warnings).
    """
    blocks = [name for name, module in network.named_modules() if isinstance(module, Block) and module.use_fp16]
    half = PRECISIONS[precision] or (torch.float16 if device.type == "cuda" else torch.float32)
    if half == torch.float32:
        return "float32", []
    if not blocks:
        asked = (
            []
            if precision == "auto"
            else [f"--precision {precision} has no effect: the network was made for float32 throughout."]
        )
        return "float32", asked
    sizes = sorted(int(name.rpartition(".")[2][1:]) for name in blocks)
    warnings = []
    if device.type == "cpu" and not has_hardware(half):
        warnings.append(f"this CPU has no instructions for {NAMES[half]}: --precision fp32 is faster here.")
    where = f"at {sizes[0]}" if sizes[0] == sizes[-1] else f"from {sizes[0]} to {sizes[-1]}"
    return f"{NAMES[half]} {where} pixels, else float32", warnings


def has_hardware(dtype):
    """Whether the CPU has instructions for a half precision type; True too where PyTorch (before 2.9) cannot tell."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return not capabilities or any(capabilities.get(name) for name in HARDWARE[dtype])
