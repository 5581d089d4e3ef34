"""The processor, and what it computes INT8 with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from octavo.target import Cpu

_X86_SETS: Mapping[str, frozenset[str]] = {
    "AVX2": frozenset({"avx2"}),
    "AVX512": frozenset({"avx512f"}),
    "VNNI": frozenset({"avx512_vnni", "avx_vnni"}),
    "AMX": frozenset({"amx_int8"}),
    "BF16": frozenset({"avx512_bf16", "amx_bf16"}),
}
_ARM_SETS: Mapping[str, frozenset[str]] = {
    "DOTPROD": frozenset({"asimddp"}),
    "I8MM": frozenset({"i8mm"}),
    "SVE": frozenset({"sve"}),
    "BF16": frozenset({"bf16"}),
}


@dataclass(frozen=True)
class Processor:
    """The processor and what it computes INT8 with.

    Attributes:
        model: its name.
        architecture: `x86_64`, `aarch64`, ...
        instructions: the instruction sets that matter here, and whether it has them.
        int8: in plain words, how INT8 models are built and run on it.
    """

    model: str
    architecture: str
    instructions: Mapping[str, bool]
    int8: str


def describe_processor(cpu: Cpu) -> Processor:
    """Name the instruction sets that matter and what INT8 means with them."""
    known = _X86_SETS if cpu.architecture == "x86_64" else _ARM_SETS
    sets = {name: bool(flags & cpu.instructions) for name, flags in known.items()}
    return Processor(cpu.model, cpu.architecture, sets, int8_in_words(cpu))


def int8_in_words(cpu: Cpu) -> str:
    """Say how INT8 models are built for a processor and what runs them."""
    if cpu.architecture != "x86_64":
        kind = "full-range weights (dot product)" if cpu.has_vnni else "slow: no dot product"
        return f"U8 x S8 with {kind}"
    if not cpu.has_vnni:
        why = "no VNNI: sums of 8-bit products would saturate at 16 bits"
        slow = "" if "avx2" in cpu.instructions else ", and slow: no AVX2 either"
        return f"U8 x S8 with 7-bit weights ({why}{slow})"
    unit = "AMX" if "amx_int8" in cpu.instructions else "VNNI"
    return f"U8 x S8 with full-range weights ({unit})"
