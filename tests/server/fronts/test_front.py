"""The imports of a front process."""

import subprocess
import sys


def test_a_front_does_not_import_torch():
    """A front process imports neither torch nor transformers, so it starts fast and needs little memory."""
    code = "import sys, lorb_server.fronts.front; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "set()"
