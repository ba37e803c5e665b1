"""What a front process is made of."""

import subprocess
import sys


def test_a_front_needs_no_torch():
    """It starts in a moment and takes a tenth of the memory: the model is elsewhere."""
    code = "import sys, lorb_server.fronts.front; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "set()"
