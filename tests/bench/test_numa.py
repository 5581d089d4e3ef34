import ctypes

from octavo.bench import numa


class Library:
    """Keeps the policy that it was told, as the kernel does."""

    def __init__(self, available=0, refuses=False):
        self.available, self.refuses = available, refuses
        self.mode, self.words = 0, [0] * 16

    def numa_available(self):
        return self.available

    def set_mempolicy(self, mode, mask, size):
        if self.refuses:
            return -1
        self.mode, self.words = mode, list(mask)
        return 0

    def get_mempolicy(self, mode, mask, size, address, flags):
        ctypes.cast(mode, ctypes.POINTER(ctypes.c_int))[0] = self.mode
        mask[:] = self.words
        return 0


def test_the_node_is_the_one_that_was_bound(monkeypatch):
    library = Library()
    monkeypatch.setattr(numa.ctypes, "CDLL", lambda name: library)
    assert numa.memory_node() is None
    assert numa.bind_memory(65)
    assert [number for number, word in enumerate(library.words) if word] == [1]
    assert library.words[1] == 2
    assert numa.memory_node() == 65


def test_a_kernel_that_refuses_leaves_memory_where_it_is(monkeypatch):
    library = Library(refuses=True)
    monkeypatch.setattr(numa.ctypes, "CDLL", lambda name: library)
    assert not numa.bind_memory(0)
    assert numa.memory_node() is None


def test_a_machine_without_nodes_has_none(monkeypatch):
    monkeypatch.setattr(numa.ctypes, "CDLL", lambda name: Library(available=-1))
    assert not numa.bind_memory(0)
    assert numa.memory_node() is None


def test_without_the_library_nothing_is_bound(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(numa.ctypes, "CDLL", missing)
    assert not numa.bind_memory(0)
    assert numa.memory_node() is None


def test_a_node_that_cannot_be_is_not_bound(monkeypatch):
    library = Library()
    monkeypatch.setattr(numa.ctypes, "CDLL", lambda name: library)
    assert not numa.bind_memory(1024)
    assert not numa.bind_memory(-1)
    assert library.mode == 0
