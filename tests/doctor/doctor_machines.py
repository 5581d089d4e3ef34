"""Processors and machines for the tests of the doctor."""

from octavo.bench.cores import Core, Topology
from octavo.target import Cpu, parse_cpuinfo

ZEN5 = parse_cpuinfo(
    "model name\t: AMD EPYC\nflags\t\t: avx2 avx512f avx512_vnni avx_vnni avx512_bf16\n",
    "x86_64",
    2,
)
HASWELL = parse_cpuinfo("model name\t: Xeon E5-2680 v3\nflags\t\t: sse4_2 avx2\n", "x86_64", 12)
SAPPHIRE = parse_cpuinfo(
    "model name\t: Xeon 8480+\nflags\t\t: avx2 avx512f avx512_vnni amx_int8 amx_bf16\n",
    "x86_64",
    56,
)
GRAVITON = parse_cpuinfo("CPU part\t: 0xd40\nFeatures\t: asimddp i8mm bf16 sve\n", "aarch64", 64)
OLD = Cpu("Opteron", "x86_64", frozenset({"sse4_2"}), 4)

TWO_SOCKETS = Topology(
    tuple(Core(socket=core // 4, node=core // 4, cpus=(core, core + 8)) for core in range(8))
)
TWO_CORES = Topology((Core(0, 0, (0,)), Core(0, 0, (1,))))
HYBRID = Topology(
    (Core(0, 0, (0, 1)), Core(0, 0, (2, 3)), *(Core(0, 0, (cpu,), True) for cpu in range(4, 8)))
)
