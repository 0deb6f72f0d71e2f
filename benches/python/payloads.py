"""What is sent where payloads are; `src/rivals/work/payloads.rs` has the same."""

import array
import dataclasses


@dataclasses.dataclass
class Record:
    id: int
    name: str
    position: tuple
    tags: list
    counts: dict
    parent: object


def make(name, kibibytes):
    size = kibibytes << 10
    if name in ("bytes", "bytes_in"):
        return b"\1" * size
    if name in ("numbers", "numbers_in"):
        return array.array("d", [1.0]) * (size // 8)
    if name == "strings":
        return [f"{number:032}" for number in range(size // 32)]
    return records(size // 256)


def records(pairs):
    def record(number, parent):
        return Record(
            number,
            f"record {number:08}",
            (0.5, 1.5, 2.5),
            ["first", "second"],
            {"one": 1, "two": 2},
            parent,
        )

    return [record(2 * pair, record(2 * pair + 1, None)) for pair in range(pairs)]
