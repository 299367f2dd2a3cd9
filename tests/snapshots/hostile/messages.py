"""What a message to the user has to be, whatever a file put into it."""

import re
import unicodedata


def problems(message, path):
    """What is wrong with a message that is to be a sentence or two on a file: a list of words."""
    message = message.replace(path, "FILE").replace(repr(path)[1:-1], "FILE")
    wrong = [f"the character {character!r}" for character in message if unicodedata.category(character).startswith("C")]
    if len(message) > 500:
        wrong.append(f"{len(message)} characters")
    if not message.startswith(("FILE", path[:100])):  # a long path may be shortened
        wrong.append("it does not begin with the file")
    if not message.endswith((".", "?")):
        wrong.append("it has no end")
    if len(re.findall(r"[.?](?= [A-Z]|$)", message)) > 3:
        wrong.append("many sentences")
    if re.search(r"Traceback|Error:|object at 0x", message):
        wrong.append("words of a program")
    return wrong
