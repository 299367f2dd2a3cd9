"""What `inspect` found, as lines to read."""

import json
import textwrap

WIDTH, LABEL = 110, 14  # characters in a line, and of the words on its left
MOST_TEXT, MOST_OF_ONE = 2000, 100  # characters of one entry, and of one value in it; --json has all
UNSHOWN = ("class_names", "ancestors")  # the first are shown elsewhere; the second are hashes for the program


def lines(facts, every_tensor=False):
    """Yield the lines that describe a model file.

    Args:
        facts: from `inspect`.
        every_tensor: list each tensor with its type; otherwise a row for each layer, and networks of equal layers once.
    """
    for label, text in _entries(facts):
        yield from _wrapped(label, text)
    shown = {}
    for name, network in facts["networks"].items():
        rows = _tensor_rows(network) if every_tensor else _layer_rows(network)
        title = f"{name}  {network['unsupported'] or network['kind']}, {network['parameters']:,} parameters"
        twin = next((other for other, same in shown.items() if same == rows), None)
        yield ""
        if twin and not every_tensor:
            yield printable(f"{title}: the same layers as {twin}")
            continue
        shown[name] = rows
        yield printable(title)
        yield from map(printable, _aligned(rows))


def amount(size):
    """Write a number of bytes in words: "1.2 MB"."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def printable(text):
    """Show what a terminal would obey (control characters, escape sequences) as it is written in Python: \\x1b."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _entries(facts):
    """(label, text) of what comes before the tables."""
    yield "file", f"{facts['file']}, {amount(facts['bytes'])}"
    yield "program", facts["program"]
    yield "SHA-256", facts["sha256"]
    width, height = facts["resolution"]
    size = "size not told" if width is None else f"{width}x{height}"
    yield "pictures", f"{size}, {_number(facts['channels'], 'channel')}"
    yield "labels", _labels(facts)
    for name in ("G_ema", "G"):
        if name in facts["networks"]:
            yield from _generator(facts["networks"][name])
            break
    if "D" in facts["networks"]:
        yield from _discriminator(facts["networks"]["D"])
    yield "trained for", _trained_for(facts)
    for label, values in _facts(facts):
        rest = {name: value for name, value in values.items() if name not in UNSHOWN and value not in (None, [], {})}
        if rest:
            yield label, ", ".join(f"{name} {_short(value)}" for name, value in rest.items())
    for note in facts["notes"]:
        yield "note", str(note)


def _facts(facts):
    """(label, dict) of what is told of data, blending and training."""
    yield "data", facts["dataset"]
    options = dict(facts["config"])
    yield "blend", options.pop("blend") if isinstance(options.get("blend"), dict) else {}
    yield "options", options


def _labels(facts):
    if not facts["c_dim"]:
        return "none"
    names = facts["class_names"]
    return _number(facts["c_dim"], "class", "classes") + (f": {', '.join(names)}" if names else "")


def _generator(network):
    if network["unsupported"]:
        yield "generator", f"{network['unsupported']}: this version shows what it holds, and does not run it"
        return
    yield "latents", f"z {network['z_dim']}, w {network['w_dim']}, {network['num_ws']} style inputs"
    yield "generator", f"{network['architecture']}, {_number(network['mapping_layers'], 'mapping layer')}, {_blocks(network)}"


def _discriminator(network):
    if not network["unsupported"]:
        labels = f", labels mapped to {network['cmap_dim']}" if network["cmap_dim"] else ""
        yield "discriminator", f"{network['architecture']}, {_blocks(network)}{labels}"


def _blocks(network):
    """Feature maps of the blocks, clamp and precision."""
    clamp, half = network["conv_clamp"], network["num_fp16_res"]
    words = [f"feature maps {' '.join(map(str, network['widths']))}", f"clamp {'none' if clamp is None else clamp}"]
    return ", ".join([*words, f"half precision in the top {_number(half, 'resolution')}" if half else "full precision"])


def _trained_for(facts):
    known = [f"{facts['kimg']:,.1f} kimg"] if facts["kimg"] else []
    known += [f"augment p {facts['augment_p']}"] if facts["augment_p"] else []
    return ", ".join(known) or "not told"


def _number(n, noun, plural=None):
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def _short(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_OF_ONE else text[:MOST_OF_ONE] + "..."


def _wrapped(label, text):
    text = printable(text)
    text = text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + " ... (--json shows all)"
    indent = " " * LABEL
    style = {"break_on_hyphens": False, "break_long_words": False}  # paths stay whole
    return textwrap.wrap(text, WIDTH, initial_indent=label.ljust(LABEL), subsequent_indent=indent, **style)


def _layer_rows(network):
    """(layer, shape, parameters) for each layer: its weight's shape, and all its parameters, with its style's affine map."""
    layers = {}
    for tensor in _ordered(network):
        if tensor["is_parameter"]:
            layer, _, part = tensor["name"].rpartition(".")
            layers.setdefault(layer.removesuffix(".affine"), []).append((part, layer.endswith(".affine"), tensor))
    rows = [("layer", "shape", "parameters")]
    for layer, parts in layers.items():
        main = max(parts, key=lambda item: (not item[1], item[0] == "weight", item[2]["count"]))
        name = layer if main[0] == "weight" else main[2]["name"]
        rows.append((name, str(main[2]["shape"]), f"{sum(tensor['count'] for *_, tensor in parts):,}"))
    return rows


def _tensor_rows(network):
    """(tensor, shape, numbers) for each tensor."""
    rows = [("tensor", "shape", "numbers")]
    for tensor in _ordered(network):
        kind = tensor["type"] if tensor["is_parameter"] else f"{tensor['type']} buffer"
        rows.append((tensor["name"], f"{tensor['shape']} {kind}", f"{tensor['count']:,}"))
    return rows


def _ordered(network):
    """The tensors with those of the mapping network first, which computes first."""
    return sorted(network["tensors"], key=lambda tensor: not tensor["name"].startswith("mapping."))


def _aligned(rows):
    """Lines of rows of three columns, the last of them numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
