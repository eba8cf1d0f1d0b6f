"""A stand-in job: waits for a device of the simulated pool, holds it for a while, and notes when.

python device_holder.py SECONDS FILE
"""

import json
import sys
import time
from pathlib import Path

from dcpipe.workflow import device_pool


def main() -> None:
    seconds, file = float(sys.argv[1]), Path(sys.argv[2])
    asked = time.monotonic()
    index = device_pool.take_device(device_pool.simulated_devices())
    begun = time.monotonic()
    held = {"device": index, "asked": asked, "begun": begun, "ended": begun + seconds}
    file.with_suffix(".holds").write_text(json.dumps(held))
    time.sleep(seconds)
    file.write_text(json.dumps(held | {"ended": time.monotonic()}))


if __name__ == "__main__":
    main()
