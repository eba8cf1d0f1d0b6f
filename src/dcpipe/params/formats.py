"""Format numbers: what is written states one, and what was written by a newer dcpipe gets one clear line.

Each format has one place that states its number: params files in `resolve`, cards in `provenance.artifact`, saved
states in `provenance.checkpoint`, equivalences in `provenance.equivalences`, releases in
`commands.release.release_folder`. A synthetic set has none inside (its bytes would change): its card states it.
"""

from dcpipe.errors import NewerFormatError, UserError


def checked_format(number: object, *, newest: int, where: str, oldest: int = 1) -> int:
    """The number that a file states.

    Raises: UserError if it is none, or too old for this version; NewerFormatError if it is too new.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UserError(f"format must be a whole number from 1, not {number!r}", where=where, remedy="restore the file")
    reads = f"{oldest} to {newest}" if oldest < newest else f"{newest}"
    if number > newest:
        problem = f"was written by a newer dcpipe (format {number}; this one reads {reads})"
        raise NewerFormatError(problem, where=where, remedy="upgrade dcpipe")
    if number < oldest:
        problem = f"was written by an older dcpipe (format {number}; this one reads {reads})"
        raise UserError(
            problem, where=where, remedy="make it again with this version, or install the older version to read it"
        )
    return number
