"""Training: configuration, state, step, loop, reports."""
