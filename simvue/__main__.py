"""``python -m simvue`` is the ``simvue`` command."""

from simvue.cli import main

main()
