"""Text for a terminal."""

import sys


def write_out(text: str) -> None:
    """Print on standard output, also where the terminal cannot write every letter."""
    encoding = sys.stdout.encoding or "utf-8"
    plain = text.replace("±", "+-")
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = plain.encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
