"""lorb.formats.notices: counts of what readers changed."""

from lorb.formats import Notices


def test_each_notice_is_a_line_with_its_count():
    """Notices are printed with their counts in the order of first occurrence, without zero counts."""
    notices = Notices()
    for notice, count in (("texts cut", 1), ("scores turned", 2000), ("texts cut", 2), ("never", 0)):
        notices.add(notice, count)
    assert notices.lines() == ["3 texts cut", "2,000 scores turned"]
