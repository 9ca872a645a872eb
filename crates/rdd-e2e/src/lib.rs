//! Floor 60: the whole program, real QEMU and real guests. Everything is in `tests/`.
