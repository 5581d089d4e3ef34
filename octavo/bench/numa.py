"""The memory node that a process takes its memory from, by libnuma where that is installed.

Free of numpy: a worker binds itself before it loads anything large.
"""

from __future__ import annotations

import ctypes

_LIBRARY = "libnuma.so.1"
_BIND = 2
"""`MPOL_BIND`: memory of these nodes only."""
_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)
_MOST_NODES = 1024
"""As many as the kernel may be built for."""
_Mask = ctypes.c_ulong * (_MOST_NODES // _BITS)


def bind_memory(node: int) -> bool:
    """Take all memory from one node from now on, in threads that are started later too.

    Args:
        node: its number.

    Returns:
        Whether that is so. It is not where libnuma is missing, or the kernel or a container
        refuses: then memory comes from the node of the core that first touches it.
    """
    library = _libnuma()
    if library is None or not 0 <= node < _MOST_NODES:
        return False
    mask = _Mask()
    mask[node // _BITS] = 1 << node % _BITS
    return int(library.set_mempolicy(_BIND, mask, ctypes.c_ulong(_MOST_NODES))) == 0


def memory_node() -> int | None:
    """Return the node that this thread is bound to, as the kernel tells; None where it is not."""
    library = _libnuma()
    if library is None:
        return None
    mode, mask = ctypes.c_int(), _Mask()
    size = ctypes.c_ulong(_MOST_NODES)
    failed = library.get_mempolicy(ctypes.byref(mode), mask, size, None, ctypes.c_ulong(0))
    nodes = [node for node in range(_MOST_NODES) if mask[node // _BITS] >> node % _BITS & 1]
    return nodes[0] if not failed and mode.value == _BIND and len(nodes) == 1 else None


def _libnuma() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    return library if library.numa_available() >= 0 else None
