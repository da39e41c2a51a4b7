"""Speed and memory, measured: `python -m benchmarks [name ...]`."""

import modules  # noqa: F401 - bounds how long threads spin, before PyTorch is imported
