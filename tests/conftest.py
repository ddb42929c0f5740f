"""What holds for all tests."""

import os

# Threads of BLAS that wait for work look for it, and take the cores from the other tests. Read when NumPy is imported.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
