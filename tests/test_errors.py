"""Laws of errors."""

from dcpipe.errors import UserError


def test_an_error_is_one_printable_line_whatever_it_quotes() -> None:
    error = UserError("unknown key a\n\x1b[31m", where="x\r\n.yaml", remedy="write\u2028it\x85, in é")
    assert str(error) == r"x\r\n.yaml: unknown key a\n\x1b[31m; write\u2028it\x85, in é"
    assert str(error).isprintable()
