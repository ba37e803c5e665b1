"""SVG plots: in the colours of the page, with unique ids, and the same bytes each time."""

import re

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.training.report import svg


def draw(panels):
    for i, axes in enumerate(panels):
        axes.plot([0, 1], [i, 2], color=svg.colour(i), label="a <b> & c", marker="o")
        axes.legend()


def test_the_same_figures_give_the_same_bytes():
    """Drawing the same figures twice gives equal bytes: no date, no random ids."""
    assert svg.svg("one", draw, panels=2) == svg.svg("one", draw, panels=2)


def test_a_plot_uses_css_colours_and_no_other_file():
    """Every colour is a CSS variable, every reference stays inside the element, and texts are escaped."""
    drawn = svg.svg("one", draw, panels=2)
    assert drawn.startswith("<svg viewBox=")
    assert re.findall(r"#[0-9a-f]{6}\b", drawn) == []
    assert "var(--series-1)" in drawn
    assert "http" not in drawn
    assert "a &lt;b&gt; &amp; c" in drawn
    names = re.findall(r'\bid="([^"]*)"', drawn)
    assert all(name.startswith("one-") for name in names)
    for target in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', drawn):
        assert "".join(target) in names


def test_lines_beyond_the_colours_differ_in_their_dashes():
    """The first 24 lines differ in colour or dash."""
    styles = [(svg.colour(i), svg.dash(i)) for i in range(24)]
    assert len(set(styles)) == 24


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    """Without matplotlib the error names the extra to install, before anything is drawn."""
    monkeypatch.setattr(svg.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'lorb\[train\]'"):
        svg.svg("one", draw)
