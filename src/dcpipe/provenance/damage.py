"""What to do about an artifact whose bytes are not those that were written."""

from pathlib import Path

CARD = "card.json"
STATE = ".state"  # a job's resume state


def remedy(where: Path | str) -> str:
    """The way out for what is damaged at a place, such as a path, or `.../card.json: facts.classes`.

    The whole folder goes first: `dvc checkout` leaves files alone that have kept their size and time, and no engine
    looks into folders that are there.
    """
    path = Path(str(where).split(": ")[0])
    if path.suffix == STATE:
        return f"remove {path}: the job then begins anew"
    folder = next((above for above in (path, *path.parents) if (above / CARD).is_file()), path)
    return f"remove {folder}, then `dvc checkout` restores it, or `snakemake` makes it again"
