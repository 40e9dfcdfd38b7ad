"""Mutations of real .seq files, certified in a process of their own: python mutations.py SEED COUNT FILE...

Prints one JSON object: how many were refused and certified, what went wrong, the slowest file and the peak memory.
Files that went wrong are left in the folder KEEP_MUTATED, where the environment names one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 10
NUMBERS = [
    *b"0 -1 1 2 7 999 -5000 1000000 4294967296 99999999999999999999 1e9 1e308 -1e-320 nan inf -inf".split(),
    *b"0.5 1.5 1_000 0x10 abc 1e400 --3".split(),
    b"",
    "\N{FULLWIDTH DIGIT ONE}".encode(),
]
NUMBER = re.compile(rb"(?<![\w.])-?\d[\d.]*(?:e[-+]?\d+)?")
PLACE = re.compile(
    r"line \d+|block \d+|gradient \d+|RF \d+|ADC \d+|extension \d+|has no \[|version \d|Raster(Time)? is|\d+ corners"
)
"""Where in the file; a missing section and the version are their own place."""


def peak_mb() -> float:
    """Largest memory of this program; Linux counts that of the process it was forked from in getrusage."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _line_ends(raw: bytes, rng: random.Random) -> list[int]:
    body = rng.random() < 0.7 and raw.find(b"[SHAPES]")
    text = raw[:body] if body and body > 0 else raw
    return [match.end() for match in re.finditer(rb"\n", text)] or [0]


def _some_line(raw: bytes, rng: random.Random) -> tuple[int, int]:
    ends = _line_ends(raw, rng)
    at = rng.randrange(len(ends))
    return (ends[at - 1] if at else 0), ends[at]


def flipped(raw: bytes, rng: random.Random) -> bytes:
    out = bytearray(raw)
    for _ in range(rng.randint(1, 8)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwritten(raw: bytes, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(raw)), rng.randint(0, 20)
    return raw[:at] + rng.randbytes(rng.randint(0, 20)) + raw[at + length :]


def truncated(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw))]


def without_line(raw: bytes, rng: random.Random) -> bytes:
    start, end = _some_line(raw, rng)
    return raw[:start] + raw[end:]


def line_twice(raw: bytes, rng: random.Random) -> bytes:
    start, end = _some_line(raw, rng)
    return raw[:end] + raw[start:end] * rng.choice([1, 1, 2, 1000]) + raw[end:]


def lines_swapped(raw: bytes, rng: random.Random) -> bytes:
    (a, b), (c, d) = sorted([_some_line(raw, rng), _some_line(raw, rng)])
    return raw if c < b else raw[:a] + raw[c:d] + raw[b:c] + raw[a:b] + raw[d:]


def _parts(raw: bytes) -> list[bytes]:
    return re.split(rb"(?=^\[)", raw, flags=re.MULTILINE)


def section_gone(raw: bytes, rng: random.Random) -> bytes:
    parts = _parts(raw)
    parts.pop(rng.randrange(len(parts)))
    return b"".join(parts)


def section_twice(raw: bytes, rng: random.Random) -> bytes:
    parts = _parts(raw)
    return b"".join([*parts, rng.choice(parts)])


def sections_shuffled(raw: bytes, rng: random.Random) -> bytes:
    parts = _parts(raw)
    rng.shuffle(parts)
    return b"\n".join(parts)


def number_changed(raw: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        start, end = _some_line(raw, rng)
        found = list(NUMBER.finditer(raw, start, end))
        if found:
            match = rng.choice(found)
            digit = str(rng.randrange(10 ** rng.randint(1, 7))).encode()
            raw = raw[: match.start()] + rng.choice([*NUMBERS, digit, digit, digit]) + raw[match.end() :]
    return raw


def shape_claims_more(raw: bytes, rng: random.Random) -> bytes:
    """Run-length bombs: headers and repeats that claim up to hundreds of millions of samples."""
    size = rng.choice([3, 100_000, 999_999, 1_000_000, 9_000_000, 300_000_000, 10**12])
    slope = rng.choice([b"0.001", b"0", b"0.0000001"])
    bomb = b"num_samples %d\n%s\n%s\n%d\n" % (size, slope, slope, size - 2)
    heads = list(re.finditer(rb"(?m)^num_samples \d+\n", raw))
    for head in rng.sample(heads, min(len(heads), rng.choice([1, 2, 20]))):
        end = raw.find(b"\n\n", head.end())
        if rng.random() < 0.5 and end > 0:
            raw = raw.replace(raw[head.start() : end + 1], bomb, 1)
        else:
            raw = raw.replace(head[0], b"num_samples %d\n" % size, 1)
    return raw


def many_shapes(raw: bytes, rng: random.Random) -> bytes:
    size = rng.choice([1000, 1_000_000])
    more = b"".join(
        b"\nshape_id %d\nnum_samples %d\n0\n0\n%d\n" % (5000 + at, size, size - 2)
        for at in range(rng.choice([10, 3000]))
    )
    return raw.replace(b"\n[SIGNATURE]", more + b"\n[SIGNATURE]", 1)


def long_extensions(raw: bytes, rng: random.Random) -> bytes:
    """Chains of extensions, and circles."""
    count = rng.choice([1, 5, 999, 1002, 50_000])
    last = rng.choice([0, 0, 5000])
    chain = b"".join(b"%d 1 1 %d\n" % (5000 + at, 5001 + at if at < count - 1 else last) for at in range(count))
    raw = raw.replace(b"[EXTENSIONS]\n", b"[EXTENSIONS]\n" + chain, 1)
    return re.sub(rb"(?m)^( *1 +\d+ +\d+ +\d+ +\d+ +\d+ +\d+) +\d+ *$", rb"\1 5000", raw, count=1)


def odd_bytes(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw))
    odd = rng.choice(
        [b"\0", b"\r", b"\r\n", b"\xff\xfe", "é".encode(), b"[", b"]", b"#", b"\t", b" " * 300, b"[" * 5000]
    )
    return raw[:at] + odd + raw[at:]


def many_blocks(raw: bytes, rng: random.Random) -> bytes:
    start, end = _some_line(raw[: raw.find(b"\n\n", raw.find(b"[BLOCKS]"))], rng)
    return raw[:end] + raw[start:end] * 20_000 + raw[end:]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flipped, overwritten, truncated, without_line, line_twice, lines_swapped, section_gone, section_twice,
    sections_shuffled, number_changed, number_changed, number_changed, number_changed, shape_claims_more, many_shapes,
    long_extensions, odd_bytes, many_blocks,
)  # fmt: skip


def signed(raw: bytes) -> bytes:
    end = raw.rfind(b"\n[SIGNATURE]")
    body = raw if end < 0 else raw[:end]
    return body + b"\n[SIGNATURE]\nType md5\nHash %s\n" % hashlib.md5(body).hexdigest().encode()


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def main(seed: int, count: int, paths: list[str]) -> None:
    keep = Path(os.environ["KEEP_MUTATED"]) if "KEEP_MUTATED" in os.environ else None
    from seqopt.errors import SeqoptError
    from seqopt.gradients.profiles import load_scanner
    from seqopt.pulseq.certificate import certify

    warnings.simplefilter("error")
    signal.signal(signal.SIGPROF, _too_long)
    rng, scanner = random.Random(seed), load_scanner("paper")
    real = [Path(path).read_bytes() for path in paths]
    told: dict[str, Any] = {"certified": 0, "refused": 0, "held": 0, "slowest_s": 0.0}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.seq"
        for number in range(count):
            change = rng.choice(MUTATIONS)
            raw = change(rng.choice(real), rng)
            path.write_bytes(signed(raw) if rng.random() < 0.6 else raw)
            begin, message = time.process_time(), None
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of this process, whatever else the machine does
            try:
                held = certify(path, scanner).holds
                told["certified"] += 1
                told["held"] += held
            except SeqoptError as error:
                told["refused"] += 1
                if "\n" in str(error) or len(str(error)) > 500:
                    message = f"not one line: {str(error)!r:.200}"
                elif not PLACE.search(str(error)):
                    message = f"no place: {error}"
            except BaseException as error:  # whatever it is, it must not reach a user
                frames, trace = [], error.__traceback__
                while trace:
                    frames.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
                    trace = trace.tb_next
                message = f"{type(error).__name__}: {error} at {' '.join(frames[-4:])}"
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if message:
                wrong.append(f"{number} {change.__name__}: {message}")
                if keep is not None:
                    (keep / f"{seed}-{number}.seq").write_bytes(path.read_bytes())
            spent = time.process_time() - begin
            if spent > told["slowest_s"]:
                told |= {"slowest_s": spent, "slowest": f"{number} {change.__name__}"}
    told["peak_mb"] = peak_mb()
    json.dump({**told, "wrong": wrong}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
