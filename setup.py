"""Build the Cython extensions; everything else stands in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

# -fno-math-errno and friends change nothing here; -O3 lets the row encoder's small
# copies become plain moves (measured, benches/bench_log.py).
FLAGS = ["-O3", "-fno-plt"] if os.name == "posix" else []

setup(
    ext_modules=cythonize(
        [
            Extension("simvue._batch", ["simvue/_batch.pyx"], extra_compile_args=FLAGS),
            Extension("simvue._columns", ["simvue/_columns.pyx"], extra_compile_args=FLAGS),
            Extension("benches._floor", ["benches/_floor.pyx"], extra_compile_args=FLAGS, optional=True),
        ],
        # The annotated output is what tests/unit/test_batch_is_c.py reads.
        annotate=bool(os.environ.get("SIMVUE_ANNOTATE")),
        compiler_directives={"language_level": 3, "embedsignature": True},
    )
)
