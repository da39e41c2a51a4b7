"""What everything else stands on. Importing it bounds how long idle OpenMP threads spin.

A thread that waits for the others of its team keeps its core busy for a while, in
case they are nearly done. With another program on the same cores, the others cannot
finish while it spins: two trainings on two cores slow each other down a hundredfold.
Every script imports this package before PyTorch loads its OpenMP runtime, and
children inherit the environment. `python -m benchmarks contention` measures it.
"""

import os

_SPIN = {
    "GOMP_SPINCOUNT": "1000",  # iterations; libgomp: PyTorch on Linux
    "KMP_BLOCKTIME": "1",  # ms; LLVM's and Intel's runtimes: PyTorch on macOS and Windows
}
if "OMP_WAIT_POLICY" not in os.environ:  # what the user chose is kept
    for _name, _value in _SPIN.items():
        os.environ.setdefault(_name, _value)
