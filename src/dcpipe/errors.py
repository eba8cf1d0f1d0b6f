"""Errors a person reads: what is wrong, where, and what to do about it.

`UserError` is the user's mistake (exit code 2); every other `DcpipeError` is a failure (exit code 1).
Only `cli` turns them into a line on standard error and an exit code.
"""

UNPRINTABLE = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}  # as escapes


class DcpipeError(Exception):
    """A failure that can be explained in one line: line breaks and other controls in what it quotes become escapes.

    Args:
        problem: what is wrong.
        where: the file and key, or the path, or the step it happened at.
        remedy: what the reader should do.
    """

    exit_code = 1

    def __init__(self, problem: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.problem, self.where, self.remedy = problem, where, remedy
        parts = [f"{where}: {problem}" if where else problem]
        if remedy:
            parts.append(remedy)
        super().__init__("; ".join(parts).translate(UNPRINTABLE))


class UserError(DcpipeError):
    """The user's mistake: bad params, impossible combination, missing input."""

    exit_code = 2


class NewerFormatError(UserError):
    """Something that a newer dcpipe wrote: nothing may be concluded from it, and nothing may replace it."""


class CorruptArtifactError(DcpipeError):
    """Bytes that are not the bytes that were written."""


class JobBusyError(DcpipeError):
    """Another process works on this very job."""


class RefusedError(DcpipeError):
    """A guard will not record, adopt or rebuild what it cannot vouch for."""


class NonFiniteError(DcpipeError):
    """A loss, gradient or value stopped being finite (or usable) before an update was made."""


class ExpertStalledError(DcpipeError):
    """An expert did not move between the two checkpoints of a segment: nothing to match."""


class Interrupted(BaseException):
    """SIGTERM or Ctrl-C arrived; the state was saved and the same command continues from it."""

    exit_code = 75  # EX_TEMPFAIL: try again
