"""A page for `dvc plots` with its drawing library inside; DVC's own fetches it from the network when it is opened."""

import subprocess
import sys
from pathlib import Path

from dcpipe.errors import DcpipeError
from dcpipe.provenance.durable import write_atomically

FILE = "plots-page.html"  # in .dvc, ignored by git
VEGA_LITE = "5.21"  # the schema of DVC's specifications is v5
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>Plots of dcpipe</title>
<style>body { font-family: sans-serif; margin: 2em; } table { border-spacing: 15px; }</style>
<script>%s</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def install(root: Path) -> Path:
    """Write the page into a repository's .dvc and name it in this clone's own configuration of DVC.

    Raises: DcpipeError if the package that holds the library, or DVC, is not there.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise DcpipeError("vl-convert-python is not installed here", remedy="pip install 'dcpipe[plots]'") from error
    library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    page = root / ".dvc" / FILE
    if not page.parent.is_dir():
        raise DcpipeError("this folder is not a DVC repository", where=str(root), remedy="run it in a clone of dcpipe")
    write_atomically(page, (PAGE % library.replace("</script", r"<\/script")).encode())
    command = [sys.executable, "-m", "dvc", "config", "--local", "plots.html_template", FILE]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DcpipeError((done.stderr or done.stdout).strip().splitlines()[-1], where="dvc config")
    return page
