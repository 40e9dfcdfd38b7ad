"""Make the environment beside this file if need be, then run seqopt or its tests in it.

python3 bootstrap.py design --traj radial --shots 16     any command of seqopt
python3 bootstrap.py test [pytest's arguments]           the tests

Standard library only; Python 3.11 to 3.13 on Linux or macOS. The environment is ``.venv`` with the exact versions of
``constraints.txt``; it is made anew when ``constraints.txt`` or ``pyproject.toml`` change. Written so that Python 3.6
can still read it and say what is missing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "seqopt.stamp"
LOG = ENVIRONMENT / "install.log"
OLDEST, NEWEST = (3, 11), (3, 13)
# Plain pip with pinned versions. On Linux PyPI's torch brings the CUDA libraries (some GB); who wants the smaller CPU
# build names its index in PIP_EXTRA_INDEX_URL (https://download.pytorch.org/whl/cpu): the pin matches both builds.
SPREAD = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]  # tests over the cores, a file at a time
INSTALL = ["-m", "pip", "install", "--disable-pip-version-check", "-c", "constraints.txt", "-e", ".[dev]"]


def main(arguments: list) -> int:
    """Install if need be, then become the command; returns an exit code where that fails."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return with_another_python(arguments)
    try:
        if stamp() != wanted():
            install()
    except (OSError, subprocess.CalledProcessError) as error:
        return fail(error)
    programs = ENVIRONMENT / "bin"
    command = [str(programs / "seqopt"), *(arguments or ["--help"])]
    if arguments[:1] == ["test"]:
        command = [str(programs / "python"), "-m", "pytest", *SPREAD, *arguments[1:]]
        os.chdir(ROOT)  # pytest's settings lie here; seqopt itself keeps the caller's directory for --out
    sys.stdout.flush()
    os.execv(command[0], command)


def with_another_python(arguments: list) -> int:
    """Start again with a Python that suits, if one is on the path; otherwise say so."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        path = shutil.which(f"python3.{minor}")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if path and subprocess.call([path, "-c", "import venv"], **quiet) == 0:
            os.execv(path, [path, str(Path(__file__).resolve()), *arguments])
    have = ".".join(map(str, sys.version_info[:3]))
    print(f"Error: this is Python {have}; seqopt needs Python 3.11, 3.12 or 3.13, install one of them", file=sys.stderr)
    return 2


def wanted() -> str:
    """What the environment must have been made from: the two files, this place and this Python's version."""
    digest = hashlib.sha256(f"{ROOT} {sys.version_info[:2]}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def stamp() -> str:
    """What it was made from; empty where there is none or it did not get finished."""
    return STAMP.read_text() if STAMP.is_file() and (ENVIRONMENT / "bin" / "seqopt").is_file() else ""


def install() -> None:
    """Make the environment; the stamp comes last, so that an interrupted installation is done again."""
    say(f"making {ENVIRONMENT} with Python {sys.version_info[0]}.{sys.version_info[1]}")
    ours = STAMP.is_file()  # an environment that somebody else put here is added to, not wiped
    venv.EnvBuilder(clear=ours, with_pip=True).create(ENVIRONMENT)
    STAMP.write_text("unfinished")
    say("installing the packages of constraints.txt (minutes the first time, mostly torch)")
    with LOG.open("w") as log:
        python = str(ENVIRONMENT / "bin" / "python")
        subprocess.run([python, *INSTALL], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=True)
    STAMP.write_text(wanted())
    say("ready")


def fail(error: Exception) -> int:
    """One clear message: what pip said first, and where the rest is."""
    reason = str(error)
    if LOG.is_file():
        lines = [line.strip() for line in LOG.read_text(errors="replace").splitlines() if line.strip()]
        said = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR")] or lines[-1:]
        reason = said[0].rstrip(".") if said else reason
    print(f"Error: the installation failed: {reason} (all of it: {LOG}); run the command again", file=sys.stderr)
    return 2


def say(line: str) -> None:
    """A progress line."""
    print(f"bootstrap: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
