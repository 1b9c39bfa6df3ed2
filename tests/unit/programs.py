"""Tiny programs that do worse than to end, and the emulators that are installed here."""

from __future__ import annotations

import shutil
import struct

import elf

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.tiny import tiny_program

ARM64 = Platform.parse("linux/arm64")
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
QEMU_ARM = shutil.which("qemu-arm-static") or shutil.which("qemu-arm")
START = 64 + 56  # where a 64-bit tiny program's instructions begin
ARM64_FAULT = (0xD2800000, 0xF9400000)  # mov x0, 0; ldr x0, [x0]
ARM64_ILLEGAL = (0x00000000,)  # udf 0


def written(folder, data, name="program"):
    """Write a program that can be executed, and return its path."""
    path = folder / name
    path.write_bytes(data)
    path.chmod(0o755)
    return path


# ldr x1, [sp, 8]; mov x2, 4; mov x0, 1; mov x8, 64 (write); svc; exit
ARM64_NAME = (0xF94007E1, 0xD2800082, 0xD2800020, 0xD2800808, 0xD4000001)
# ldr x0, [sp, 16]; add x1, sp, 16; mov x2, 0; mov x8, 221 (execve); svc; neg x0, x0; exit
ARM64_EXECUTES = (0xF9400BE0, 0x910043E1, 0xD2800002, 0xD2801BA8, 0xD4000001, 0xCB0003E0)
ARM64_EXIT = (0xD2800BA8, 0xD4000001)  # mov x8, 93; svc


def arm64(*words):
    """Return an arm64 program with these instructions."""
    tiny = tiny_program(ARM64, 0)
    data = tiny[:START] + struct.pack(f"<{len(words)}I", *words)
    data += bytes(max(0, len(tiny) - len(data)))
    return data.replace(struct.pack("<Q", len(tiny)), struct.pack("<Q", len(data)))


def dynamic(loader):
    """Return an arm64 program that names a loader, with a segment to map, as QEMU wants it."""
    name = loader.encode() + b"\0"
    at = 64 + 2 * 56
    size = at + len(name)
    interpreter = struct.pack("<IIQQQQQQ", elf.PT_INTERP, 4, at, at, at, len(name), len(name), 1)
    everything = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x10000)
    header = elf.header(elf.ARM64, elf.ET_EXEC, 64, "<", offset=64, count=2)
    return header + interpreter + everything + name
