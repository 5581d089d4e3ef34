"""Where a model will run: the processor, the threads and the input shapes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cpu:
    """A processor as a quantizer needs to know it.

    Attributes:
        model: its name.
        architecture: `x86_64`, `aarch64`, ...
        instructions: the kernel's names of its instruction sets (`avx512_vnni`, `amx_int8`, ...).
        cores: physical cores of the machine.
    """

    model: str
    architecture: str
    instructions: frozenset[str]
    cores: int

    @property
    def has_vnni(self) -> bool:
        """Whether 8-bit products are summed in 32 bits, so that full-range weights are exact."""
        if self.architecture != "x86_64":
            return bool({"asimddp", "i8mm"} & self.instructions)
        return bool({"avx512_vnni", "avx_vnni", "amx_int8"} & self.instructions)

    @property
    def saturates(self) -> bool:
        """Whether pairs of U8 x S8 products are summed in 16 bits, which full-range ones overflow.

        x86 without VNNI does so (vpmaddubsw): 2 * 255 * 127 overflows, 2 * 255 * 63 does not.
        """
        return self.architecture == "x86_64" and not self.has_vnni

    @property
    def has_bf16(self) -> bool:
        """Whether it multiplies BF16 in hardware."""
        return bool({"avx512_bf16", "amx_bf16", "bf16"} & self.instructions)


def parse_cpuinfo(text: str, architecture: str, cores: int) -> Cpu:
    """Read `/proc/cpuinfo`.

    Args:
        text: the file's content.
        architecture: the machine type as `platform.machine()` gives it.
        cores: physical cores.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    model = fields.get("model name") or fields.get("CPU part") or architecture
    flags = fields.get("flags") or fields.get("Features") or ""
    return Cpu(model, architecture, frozenset(flags.split()), cores)


def detect_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Return the processor of this machine."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    return parse_cpuinfo(text, platform.machine(), psutil.cpu_count(logical=False) or 1)


@dataclass(frozen=True)
class Target:
    """What a model is built and priced for.

    Attributes:
        threads: threads of one instance.
        cpu: the processor.
        shapes: input shapes by input name; inputs not named run with free dimensions set to 1.
    """

    threads: int = 1
    cpu: Cpu = field(default_factory=detect_cpu)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
