"""lorb.formats.notices: what was normalised, counted."""

from lorb.formats import Notices


def test_each_notice_is_a_line_with_its_count():
    """In the order of their first occurrence; what never happened is not said."""
    notices = Notices()
    for notice, count in (("texts cut", 1), ("scores turned", 2000), ("texts cut", 2), ("never", 0)):
        notices.add(notice, count)
    assert notices.lines() == ["3 texts cut", "2,000 scores turned"]
