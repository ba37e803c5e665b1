"""Plots inside a page: in its colours, its own names, the same bytes each time."""

import re

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.training.report.html import figure


def draw(panels):
    for i, axes in enumerate(panels):
        axes.plot([0, 1], [i, 2], color=figure.colour(i), label="a <b> & c", marker="o")
        axes.legend()


def test_the_same_figures_give_the_same_bytes():
    """No date, no salt that changes."""
    assert figure.svg("one", draw, panels=2) == figure.svg("one", draw, panels=2)


def test_a_plot_is_drawn_in_the_pages_colours_and_points_at_no_other_file():
    """Every colour is a variable, every reference stays inside, text is text and harmless."""
    made = figure.svg("one", draw, panels=2)
    assert made.startswith("<svg viewBox=")
    assert re.findall(r"#[0-9a-f]{6}\b", made) == []
    assert "var(--series-1)" in made
    assert "http" not in made
    assert "a &lt;b&gt; &amp; c" in made
    names = re.findall(r'\bid="([^"]*)"', made)
    assert all(name.startswith("one-") for name in names)
    for target in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', made):
        assert "".join(target) in names


def test_lines_beyond_the_colours_differ_in_their_dashes():
    """26 runs can be told apart: no two have colour and dash in common within a round of the dashes."""
    looks = [(figure.colour(i), figure.dash(i)) for i in range(24)]
    assert len(set(looks)) == 24


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch):
    """One line, before anything is drawn."""
    monkeypatch.setattr(figure.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'lorb\[train\]'"):
        figure.svg("one", draw)
