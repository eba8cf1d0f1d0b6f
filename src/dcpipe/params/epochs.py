"""Which epochs of an expert are kept: the compact notation of params."""


def kept_epochs(notation: str, epochs: int) -> tuple[int, ...]:
    """The epochs that a notation such as ``0-6,25`` or ``all`` names, ascending, each once. Epoch 0 is untrained."""
    if notation == "all":
        return tuple(range(epochs + 1))
    epochs_kept: set[int] = set()
    for part in notation.split(","):
        first, _, last = part.partition("-")
        one_too_many = epochs + 1  # stands for all that are beyond: whoever asks refuses it
        epochs_kept.update(range(min(int(first), one_too_many), min(int(last or first), one_too_many) + 1))
    return tuple(sorted(epochs_kept))
