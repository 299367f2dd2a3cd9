"""Which rows of `ws`: numbers, or coarse, middle and fine."""

from sgtool.errors import UserError

WORDS = ("coarse", "middle", "fine")


def rows_of(word, num_ws):
    """Return the rows of `ws` that a word means.

    StyleGAN (Karras et al. 2019), section 3.1: coarse are the layers at 4 and 8 pixels, middle those at 16 and 32, fine those
    from 64 on. Two rows belong to a size. Networks below 64 pixels have no layers of that size; what the paper says of fine
    layers holds of all theirs that are not coarse: there, coarse is the first half, and both other words mean the second.

    Args:
        word: "coarse", "middle" or "fine".
        num_ws: rows of the network, 2 or more.
    Returns:
        list of numbers, never empty.
    """
    if num_ws < 10:
        coarse = num_ws // 2
        return list(range(coarse)) if word == "coarse" else list(range(coarse, num_ws))
    return list({"coarse": range(4), "middle": range(4, 8), "fine": range(8, num_ws)}[word])


def default_styles(num_ws):
    """Return the rows that style mixing takes from the column if nothing is said.

    0 to 6, as in NVIDIA's tool. Networks of fewer than 14 layers (128 pixels and below) would keep little of the row that way:
    of theirs it is the first half.
    """
    return list(range(min(7, num_ws // 2)))


def checked_rows(layers, num_ws, option):
    """Return rows of `ws` from what `options.LAYERS` gives, a word or a list of numbers, after checking that they exist.

    Raises:
        UserError: the network has no such layer.
    """
    if isinstance(layers, str):
        return rows_of(layers, num_ws)
    beyond = [layer for layer in layers if not 0 <= layer < num_ws]
    if beyond:
        raise UserError(f"{option} {beyond[0]} does not exist: the network has the layers 0 to {num_ws - 1}.")
    return sorted(set(layers))
