# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Malformed files and values made from good ones by a seed, and what may come of a command that reads them."""

import contextlib
import io
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


SECONDS = 30
# What a tiny input may take on top of the libraries, so that a forged size ends in an error and not the machine.
MEMORY = 6 * 2**30
LONGEST_MESSAGE = 800
# What Python and the libraries say of a surprise of their own; a user cannot act on it.
JARGON = re.compile(
    r"KeyError|TypeError|AttributeError|IndexError|NoneType|Traceback|has no attribute|list index|unhashable|"
    r"unexpected keyword|positional argument|not subscriptable|not iterable|CPUAllocator|<class '|object is not|"
    r"unsupported operand|must be real number|cannot be interpreted|indices must be|recursion depth|bad marshal|"
    r"not enough values|too many values|can only concatenate|not callable|could not convert|without a message|"
    r"object at 0x|not supported between"
)


class Hang(BaseException):
    """A command went on for longer than it may."""


@dataclass(frozen=True)
class Damage:
    """
    One change of one input.

    Args:
        name: what was done, for the report.
        apply: does it to the input: a path, or a list of arguments.
        names: one of these must be in the message.
        may_differ: the result may be another, because the change is one to another valid input.
    """

    name: str
    apply: Callable[[Any], None]
    names: tuple[str, ...]
    may_differ: bool = False


@dataclass
class Outcome:
    """What a command did with one damaged input."""

    damage: Damage
    status: int | None = None
    output: str = ""
    errors: str = ""
    exception: BaseException | None = None
    result: Any = None
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = " | ".join(self.errors.strip().splitlines()[-3:])[-500:]
        return f"{self.damage.name}: {'; '.join(self.problems)} [status {self.status}, {said!r}]"


def run(damage: Damage, command: Callable[[], int], result: Callable[[str], Any]) -> Outcome:
    """Run a command in this process, for no longer than `SECONDS`; `result` reads what it made, given its output."""
    outcome, output, errors = Outcome(damage), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), limits():
        try:
            outcome.status = command()
        except SystemExit as error:
            outcome.status = error.code if isinstance(error.code, int) else 1
        # Whatever comes out is what the test asks for.
        except BaseException as error:
            outcome.exception = error
    outcome.output, outcome.errors = output.getvalue(), errors.getvalue()
    if outcome.status == 0:
        outcome.result = result(outcome.output)
    return outcome


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """An alarm that raises `Hang`, and a bound on what may be allocated."""

    def ring(*_: Any) -> None:
        raise Hang(f"longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, most[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, most)


def judge(outcome: Outcome, program: str, expected: Any) -> list[str]:
    """What is wrong with an outcome; `expected` is the result for the good input."""
    if isinstance(outcome.exception, Hang):
        return ["HANG"]
    if outcome.exception is not None:
        return [f"TRACEBACK {type(outcome.exception).__name__}: {str(outcome.exception)[:200]}"]
    if outcome.status == 0:
        return _judge_result(outcome, expected)
    if outcome.status not in (1, 2):
        return [f"STATUS {outcome.status}"]
    prefixes = (f"{program}: ", "error: ") if outcome.status == 2 else ("not predicted: ", "rejected ")
    # Progress bars leave lines without an end.
    lines = re.split(r"[\r\n]|\x1b\[A|it/s\]", outcome.errors + (outcome.output if outcome.status == 1 else ""))
    messages = [line for line in lines if line.startswith(prefixes)]
    if not messages or (outcome.status == 2 and len(messages) != 1):
        return [f"MESSAGE there are {len(messages)} sentences"]
    return [problem for message in messages for problem in _judge_message(message, outcome.damage)]


def _judge_message(message: str, damage: Damage) -> Iterator[str]:
    if len(message) > LONGEST_MESSAGE:
        yield f"MESSAGE of {len(message)} characters"
    if not message.isprintable():
        yield "MESSAGE with control characters"
    if JARGON.search(message):
        yield f"MESSAGE in jargon: {JARGON.search(message).group()}"
    if not any(name.lower() in message.lower() for name in damage.names):
        yield f"MESSAGE names none of {damage.names}"


def _judge_result(outcome: Outcome, expected: Any) -> list[str]:
    if not finite(outcome.result):
        return ["SILENT the result is not finite"]
    if outcome.damage.may_differ or same(outcome.result, expected):
        return []
    said = [line for line in outcome.output.splitlines() if line.startswith("rejected ")]
    if said:
        return [problem for line in said for problem in _judge_message(line, outcome.damage)]
    return [f"SILENT another result: {str(outcome.result)[:150]} instead of {str(expected)[:150]}"]


def same(found: Any, expected: Any) -> bool:
    """Equal, numbers within a tolerance."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list | tuple):
        return isinstance(found, list | tuple) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, np.ndarray):
        return found.shape == expected.shape and np.allclose(found, expected, atol=1e-3, equal_nan=True)
    if isinstance(expected, float):
        return isinstance(found, int | float) and math.isclose(found, expected, rel_tol=1e-4, abs_tol=1e-5)
    return found == expected


def finite(value: Any) -> bool:
    """Whether all numbers in a result are."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    if isinstance(value, np.ndarray):
        return bool(np.isfinite(value).all()) if value.dtype.kind == "f" else True
    return not isinstance(value, float) or math.isfinite(value)


# -- values


def nested(depth: int, kind: str = "[]") -> str:
    """JSON text of lists or objects in one another."""
    opening, closing = ("[", "]") if kind == "[]" else ('{"a":', "}")
    return opening * depth + ("1" if kind == "{}" else "") + closing * depth


# Text of JSON, because some of it is not what Python would write.
VALUES: dict[str, str] = {
    "null": "null",
    "string": '"wrong"',
    "empty string": '""',
    "empty list": "[]",
    "list of null": "[null]",
    "list of strings": '["a", "b"]',
    "empty object": "{}",
    "object": '{"a": {"b": [1]}}',
    "-1": "-1",
    "half": "0.5",
    "minus half": "-0.5",
    "huge": "1000000000",
    "astronomic": "1" + "0" * 40,
    "1e308": "1e308",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "true": "true",
    "number as string": '"12"',
    "control characters": '"a\\u0000\\u001b[31m\\n"',
    "lone surrogate": '"\\ud800"',
    "10^6 characters": json.dumps("a" * 10**6),
    "10^5 numbers": json.dumps([1] * 10**5),
    "deep list": nested(5000),
    "deep object": nested(2000, "{}"),
    "path upwards": '"../../../etc/passwd"',
    "absolute path": '"/proc/self/environ"',
    "python": "\"__import__('os')\"",
}


def places(content: Any, prefix: tuple = ()) -> Iterator[tuple]:
    """The way to every value in JSON, lists as wholes and by their first element."""
    items = (
        content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    )
    for key, value in items:
        yield (*prefix, key)
        yield from places(value, (*prefix, key))


def json_damages(content: Any, file: str, random_: random.Random, free: Sequence[str] = ()) -> Iterator[Damage]:
    """
    Changed, lost and doubled values of a JSON object, in an order of the seed.

    Args:
        content: of the file.
        file: its name.
        free: names of fields that may have any value of their kind, so that the result may be another.
    """
    ways = [way for way in places(content) if len([key for key in way if isinstance(key, str)])]
    choices = [(way, name) for way in ways for name in (*VALUES, "missing", "twice")]
    random_.shuffle(choices)
    for way, name in choices:
        named = tuple(str(key) for key in way if isinstance(key, str))
        may_differ = name == "missing" or bool(set(named) & set(free))
        yield Damage(
            f"{file}: {'.'.join(map(str, way))} {name}", _put(content, way, name), (file, named[-1]), may_differ
        )


def _put(content: Any, way: tuple, name: str) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        changed = json.loads(json.dumps(content))
        parent = changed
        for key in way[:-1]:
            parent = parent[key]
        if name == "missing":
            del parent[way[-1]]
            text = json.dumps(changed)
        elif name == "twice":
            # The first one is what some readers take, the last what others do.
            parent["@twice@"] = None
            text = json.dumps(changed).replace('"@twice@": null', f'"{way[-1]}": "second"')
        else:
            parent[way[-1]] = "@value@"
            text = json.dumps(changed).replace('"@value@"', VALUES[name])
        write(path, text.encode())

    if name == "twice" and not isinstance(way[-1], str):
        name = "null"
    return apply


def write(path: Path, content: bytes) -> None:
    """Put a file in the place of one, which may be a link to one that others use."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


# -- files


def file_damages(file: str, content: bytes, random_: random.Random, *, text: bool, flips: int = 0) -> Iterator[Damage]:
    """
    Damages of a file as a whole.

    Args:
        file: its name.
        content: of the good file.
        text: whether it holds text, so that encodings matter.
        flips: how many single bits are to be changed, one at a time; what they make may be another valid file.
    """

    def put(new: bytes) -> Callable[[Path], None]:
        return lambda path: write(path, new)

    names = (file, Path(file).stem)
    yield Damage(f"{file}: empty", put(b""), names)
    for share in sorted(random_.random() for _ in range(4)):
        yield Damage(f"{file}: cut at {share:.2f}", put(content[: int(share * len(content))]), names, text)
    yield Damage(f"{file}: cut by a byte", put(content[:-1]), names, text)
    yield Damage(f"{file}: noise", put(random_.randbytes(300)), names)
    yield Damage(f"{file}: zeros", put(bytes(len(content))), names)
    yield Damage(f"{file}: missing", lambda path: path.unlink(), (*names, "folder"))
    yield Damage(f"{file}: a folder", _folder, names)
    yield Damage(f"{file}: a dangling link", lambda path: _link(path, path.parent / "nowhere"), names)
    yield Damage(f"{file}: a link to itself", lambda path: _link(path, path), names)
    yield Damage(f"{file}: another file's content", put(b"\x7fELF" + bytes(60)), names)
    for number in range(flips):
        place, bit = random_.randrange(len(content)), 1 << random_.randrange(8)
        changed = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
        yield Damage(f"{file}: bit flip {number} at {place}", put(changed), names)
    if text:
        decoded = content.decode()
        yield Damage(f"{file}: BOM", put(decoded.encode("utf-8-sig")), names)
        yield Damage(f"{file}: CRLF", put(decoded.replace("\n", "\r\n").encode()), names)
        yield Damage(f"{file}: UTF-16", put(decoded.encode("utf-16")), names)
        yield Damage(f"{file}: not UTF-8", put(b"\xff\xfe\xe9" + content), names)
        yield Damage(f"{file}: NUL characters", put(content.replace(b"e", b"\x00")), names)
        yield Damage(f"{file}: a list", put(b"[1, 2]"), names)
        yield Damage(f"{file}: a number", put(b"7"), names)
        yield Damage(f"{file}: null", put(b"null"), names)
        yield Damage(f"{file}: deep", put(nested(100_000).encode()), names)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def tensor_damages(file: str, tensors: dict[str, np.ndarray], random_: random.Random) -> Iterator[Damage]:
    """Safetensors with a forged header, or with other tensors than they should have."""
    from safetensors.numpy import save

    def put(changed: dict[str, np.ndarray]) -> Callable[[Path], None]:
        return lambda path: write(path, save(changed, {"format": "pt"}))

    def forged(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
        def apply(path: Path) -> None:
            content = save(tensors, {"format": "pt"})
            length = struct.unpack("<Q", content[:8])[0]
            header = json.loads(content[8 : 8 + length])
            change(header)
            text = json.dumps(header).encode()
            write(path, struct.pack("<Q", len(text)) + text + content[8 + length :])

        return apply

    names = sorted(tensors)
    for name in random_.sample(names, 4):
        value = tensors[name]
        short = (file, name, name.rpartition(".")[2])
        others = {key: other for key, other in tensors.items() if key != name}
        yield Damage(f"{file}: {name} missing", put(others), short)
        yield Damage(f"{file}: {name} renamed", put({**others, f"{name}_2": value}), short)
        yield Damage(f"{file}: {name} longer", put({**others, name: np.concatenate([value, value])}), short)
        yield Damage(f"{file}: {name} NaN", put({**others, name: np.full_like(value, np.nan)}), short)
        infinite = value.copy()
        infinite.flat[-1] = np.inf
        yield Damage(f"{file}: {name} with an infinity", put({**others, name: infinite}), short)
        # Other numbers are another model, which nothing tells from this one.
        yield Damage(f"{file}: {name} integers", put({**others, name: np.ones(value.shape, np.int64)}), short, True)
        yield Damage(
            f"{file}: {name} with a forged shape", forged(lambda h, n=name: h[n].update(shape=[2**40])), short
        )
        yield Damage(
            f"{file}: {name} with forged offsets",
            forged(lambda h, n=name: h[n].update(data_offsets=[0, 2**60])),
            short,
        )
        yield Damage(f"{file}: {name} of a type unknown", forged(lambda h, n=name: h[n].update(dtype="Q7")), short)
        yield Damage(f"{file}: {name} without a shape", forged(lambda h, n=name: h[n].pop("shape")), short)
    yield Damage(f"{file}: one more", put({**tensors, "extra.weight": np.ones(3, np.float32)}), (file, "extra.weight"))
    yield Damage(f"{file}: none", put({}), (file, "weights"))
    good = save(tensors, {"format": "pt"})
    for length in (0, 1, 2**31, 2**63 - 1, 2**64 - 1):
        yield Damage(
            f"{file}: a header of {length} bytes",
            lambda path, n=length: write(path, struct.pack("<Q", n) + good[8:]),
            (file,),
        )


def table_damages(file: str, content: str, random_: random.Random, free: Sequence[str] = ()) -> Iterator[Damage]:
    """Cells, columns and lines of a csv file; `free` columns may hold any text."""
    lines = content.splitlines()
    header = lines[0].split(",")
    cells = [
        "",
        "x",
        "-1",
        "nan",
        "1e400",
        "a" * 10**5,
        "a\x00b",
        "\ud800",
        "../../../etc/passwd",
        "/etc/passwd",
        '"',
        ";",
        "'; --",
        "=1+1",
    ]
    choices = [(column, cell) for column in range(len(header)) for cell in cells]
    random_.shuffle(choices)

    def put(text: str) -> Callable[[Path], None]:
        return lambda path: write(path, text.encode("utf-8", "surrogatepass"))

    for column, cell in choices:
        row = lines[1].split(",")
        row[column] = cell
        changed = "\n".join([lines[0], ",".join(row), *lines[2:]]) + "\n"
        name = header[column]
        yield Damage(
            f"{file}: {name} {cell[:20]!r}",
            put(changed),
            (file, name, row[0][:30] or name, cell[:30] or name),
            not cell or name in free,
        )
    for column, name in enumerate(header):
        dropped = "\n".join(",".join(c for i, c in enumerate(line.split(",")) if i != column) for line in lines) + "\n"
        yield Damage(f"{file}: no column {name}", put(dropped), (file, name), True)
        doubled = "\n".join(f"{line},{line.split(',')[column]}" for line in lines) + "\n"
        yield Damage(f"{file}: column {name} twice", put(doubled), (file, name))
    yield Damage(
        f"{file}: a row twice", put("\n".join([*lines, lines[1]]) + "\n"), (file, "line", lines[1].split(",")[0])
    )
    yield Damage(f"{file}: no rows", put(lines[0] + "\n"), (file, Path(file).stem))
    yield Damage(f"{file}: a short row", put("\n".join([*lines, "a,b"]) + "\n"), (file,))
    yield Damage(f"{file}: a long row", put("\n".join([*lines, lines[1] + ",b,c"]) + "\n"), (file,))


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in another folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def copy_of(folder: Path, place: Path) -> Path:
    """The same files at another place; what is written there is written by `write`, so that links will do."""
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(folder, place, symlinks=True))
