"""Named random streams.

Every draw has a name. The seed of a stream is the SHA-256 of its names, so streams are independent of the
order in which they are made, of what ran beside them and of how often a run was resumed; PyTorch's global
generator is never touched. Draws are made on the CPU, whatever the device, so that devices agree on them.
"""

import hashlib
from dataclasses import dataclass

import torch

Name = str | int


@dataclass(frozen=True, slots=True)
class Stream:
    """A place in the tree of names; `generator()` gives the numbers that belong to it.

    Example: ``Stream.root(0, "distill", "digits", "mtt", 1).child("segment", 17).generator()``.
    """

    names: tuple[Name, ...]

    @classmethod
    def root(cls, seed: int, *names: Name) -> "Stream":
        """The stream of a root seed (a param) and the names of a job."""
        return cls((seed, *names))

    def child(self, *names: Name) -> "Stream":
        """The stream one or more names further down, for example a purpose and an iteration."""
        return Stream((*self.names, *names))

    @property
    def seed(self) -> int:
        """A 63-bit seed: the first bytes of the SHA-256 of the names, each with its type and length."""
        digest = hashlib.sha256()
        for name in self.names:
            text = f"{type(name).__name__}:{name}".encode()
            digest.update(len(text).to_bytes(8, "big") + text)
        return int.from_bytes(digest.digest()[:8], "big") >> 1

    def generator(self) -> torch.Generator:
        """A fresh CPU generator at the start of this stream."""
        generator = torch.Generator(device="cpu")
        generator.manual_seed(self.seed)
        return generator
