"""lorb_server.file_limit: the limit on open files, in processes of their own."""

import subprocess
import sys

import pytest

CODE = """
import resource
from lorb_server.file_limit import maximum_connections, raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), maximum_connections())
"""


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, 1024, [1024, 1024, 768]),  # raised to the hard limit, less 256 for other files
        (1024, 1024, [1024, 1024, 768]),  # as high as it can be
        (200, 200, [200, 200, 100]),  # half of few
    ],
)
def test_the_soft_limit_is_raised_and_leaves_room_for_other_files(soft, hard, expected):
    """The process may open as many files as its hard limit allows, and connections take only a part of them."""
    ended = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", CODE.format(soft=soft, hard=hard)], capture_output=True, text=True, check=True
    )
    assert [int(number) for number in ended.stdout.split()] == expected
