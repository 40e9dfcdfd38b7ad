"""The command's front door: help without heavy imports, one line for errors."""

from __future__ import annotations

import os
import subprocess
import sys

from cli import refused, seqopt

from seqopt import __version__
from seqopt.cli.main import _COMMANDS

HEAVY = ("torch", "numpy", "scipy", "h5py", "pypulseq", "ismrmrd", "sigpy", "finufft", "matplotlib", "nibabel")


def test_help_lists_every_command_with_what_it_does():
    result = seqopt("--help")
    assert result.returncode == 0
    for name, (_, text) in _COMMANDS.items():
        line = next(line for line in result.stdout.splitlines() if line.split()[:1] == [name])
        assert " ".join(text.split()[:4]) in " ".join(line.split())
    assert "Example: seqopt design --traj radial --shots 16" in result.stdout
    assert seqopt("-h").stdout == result.stdout


def loaded_by(*arguments: str) -> set[str]:
    """Top-level modules in a fresh interpreter after the command ran."""
    program = (
        "import sys\nfrom seqopt.cli.main import main\n"
        f"sys.argv = ['seqopt', *{list(arguments)!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    return set(result.stdout.split("LOADED", 1)[1].split())


def test_help_version_and_mistakes_import_nothing_heavy():
    for arguments in (["--help"], ["--version"], ["desing"]):
        loaded = loaded_by(*arguments)
        assert "click" in loaded
        assert not loaded & set(HEAVY), arguments


def test_no_arguments_show_the_commands():
    result = seqopt()
    assert "design" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_the_version_is_the_package_s():
    result = seqopt("--version")
    assert result.returncode == 0
    assert result.stdout.strip().endswith(__version__)


def test_an_unknown_command_is_refused_with_the_known_ones():
    refused("desing", saying="unknown command 'desing'; known: design, evaluate, validate")


def test_an_unknown_option_is_refused():
    refused("--frobnicate", saying="--frobnicate")


def test_a_closed_pipe_ends_quietly():
    """`seqopt --help | head -0`: no traceback."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "seqopt.cli.main", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert "Traceback" not in process.stderr
