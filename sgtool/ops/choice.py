"""Which implementation of an op runs."""

IMPLEMENTATIONS = ("auto", "reference", "cuda")


def uses_reference(impl):
    """Return True for "reference" and False for "auto".

    Raises:
        ValueError: `impl` is no implementation's name.
        RuntimeError: "cuda" was asked for; this version has no CUDA kernels.
    """
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {', '.join(IMPLEMENTATIONS)}, not {impl!r}")
    if impl == "cuda":
        raise RuntimeError('impl="cuda": this version of sgtool has no CUDA kernels; impl="auto" runs on every device')
    return impl == "reference"
