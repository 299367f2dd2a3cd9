"""How many pictures each class has, to be told and written down."""

from collections import Counter

import numpy as np


def count_labels(values, class_names):
    """Count pictures per class, for prepare.json.

    Args:
        values: labels of the pictures, all numbers or all tuples.
        class_names: see `labels.Labels`.
    Returns:
        `{"classes": {"0": pictures, ...}}` with the classes that have pictures and all that have names; for vectors
        `{"vector": length}`, and "marked": pictures for each entry, where all entries are 0 or 1.
    """
    if not isinstance(values[0], tuple):
        counts = Counter(values)
        numbers = sorted(counts.keys() | set(range(len(class_names or ()))))
        return {"classes": {str(number): counts[number] for number in numbers}}
    vectors = np.array(values)
    counted = {"vector": vectors.shape[1]}
    return {**counted, "marked": vectors.astype(int).sum(axis=0).tolist()} if np.isin(vectors, (0, 1)).all() else counted


def tell_counts(counted, class_names, most=12):
    """Put what `count_labels` found into a line: `cat 14, dog 18, eel 16`; of more than `most` classes, the extremes.

    Args:
        counted: what `count_labels` returned.
        class_names: see `labels.Labels`.
        most: classes that are all listed.
    Returns:
        text, empty for vectors of anything but marks.
    """
    pairs = list(counted["classes"].items()) if "classes" in counted else list(enumerate(counted.get("marked", ())))
    named = [(class_names[int(i)] if class_names and int(i) < len(class_names) else str(i), number) for i, number in pairs]
    if len(named) <= most:
        return ", ".join(f"{name} {number}" for name, number in named)
    named.sort(key=lambda pair: -pair[1])
    largest, smallest = (", ".join(f"{name} {number}" for name, number in part) for part in (named[:3], named[-3:]))
    return f"largest: {largest}; smallest: {smallest}"
