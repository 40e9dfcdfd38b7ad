"""The README keeps its promises: commands exist, options exist, pictures exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from seqopt.cli.main import _COMMANDS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def command(name: str) -> click.Command:
    found: click.Command = importlib.import_module(_COMMANDS[name][0]).command
    return found


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_is_in_the_readme_and_its_help_has_an_example(name: str) -> None:
    assert re.search(rf"(seqopt {name}\b)|(`{name}`)", TEXT)
    assert f"Example: seqopt {name}" in " ".join((command(name).help or "").split())


def test_every_command_line_in_the_readme_parses() -> None:
    lines = re.findall(r"^    (?:seqopt|python3 bootstrap\.py) (.+?)(?: +#.*)?$", TEXT, flags=re.MULTILINE)
    assert len(lines) >= 7
    for line in lines:
        name, *arguments = line.split()
        if name == "test":
            continue
        with click.Context(command(name), info_name=name) as context:
            command(name).parse_args(context, arguments)


def test_every_option_named_in_the_readme_exists() -> None:
    known = {
        option
        for name in _COMMANDS
        for parameter in command(name).params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert named
    others = {"--help", "--nproc-per-node", "--seeds", "--case", "--python"}  # of click, torchrun and benchmarks
    assert named <= known | others, named - known


def test_every_file_linked_from_the_readme_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_the_readme_is_finished() -> None:
    assert "@@" not in TEXT
    assert "TODO" not in TEXT
