"""The command line of an external code."""

import pytest

from simvue.processes import command_line


@pytest.mark.parametrize(
    ("arguments", "given", "command"),
    [
        (["solver", "a.in"], {}, "solver a.in"),
        (["a.in"], {"executable": "solver"}, "solver a.in"),
        ([], {"executable": "sh", "script": "run.sh", "input_file": "a.in"}, "sh run.sh a.in"),
        ([], {"script": "run.sh"}, "/bin/zsh run.sh"),
        (["last"], {"executable": "s", "options": {"n": 4}}, "s -n 4 last"),
        (["s"], {"options": {"max_steps": 7, "quiet": True}}, "s --max-steps 7 --quiet"),
        (["s"], {"options": {"v": True, "x": False, "y": None, "z": 0}}, "s -v -z 0"),
    ],
)
def test_a_command_is_program_script_input_options_and_the_rest(
    monkeypatch, arguments, given, command
):
    monkeypatch.setenv("SHELL", "/bin/zsh")
    assert command_line(arguments, **given) == command.split()
