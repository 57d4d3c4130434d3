"""Build the Cython extensions; everything else stands in pyproject.toml."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# -O3: the row encoder's and the column packer's small loops unroll (measured, benches/).
FLAGS = ["-O3", "-fno-plt"] if os.name == "posix" else []


def extension(name: str) -> Extension:
    """Return the extension of that dotted name, whose source lies where the name says."""
    return Extension(name, [name.replace(".", "/") + ".pyx"], extra_compile_args=FLAGS)


extensions = [extension("simvue._batch"), extension("simvue._columns")]
if {"editable_wheel", "build_ext"} & set(sys.argv):
    # The yardstick of benches/bench_log.py belongs to a checkout, not to a wheel.
    extensions.append(extension("benches._floor"))

setup(ext_modules=cythonize(extensions, compiler_directives={"language_level": 3}))
