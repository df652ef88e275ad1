"""What a process of the service may take of the machine."""

from __future__ import annotations


def limit_memory(most: int) -> None:
    """Bound the address space of this process, in bytes; beyond it a MemoryError comes. No core is ever written."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
