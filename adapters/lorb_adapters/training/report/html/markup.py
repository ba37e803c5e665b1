"""The bones of a page: its style, tables, figures. Texts are escaped where they enter; markup is a `Markup`."""

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1d2329; --soft: #767e87; --rule: #d6dadf; --band: #f3f5f7; --good: #dcf1e1; --bad: #fbe0dc;
  --series-0: #0b62a8; --series-1: #d1560b; --series-2: #12805c; --series-3: #8a3fa0; --series-4: #946c00;
  --series-5: #c2185b;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14181c; --ink: #e4e8ec; --soft: #8f99a3; --rule: #363d45; --band: #1d2329; --good: #17402a;
    --bad: #55211b; --series-0: #5db0f0; --series-1: #ff9a57; --series-2: #4dc79b; --series-3: #cf93e0;
    --series-4: #dfb645; --series-5: #ff7fae;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 70rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .4rem 0; max-width: 60rem; } .note { color: var(--soft); font-size: .9rem; }
.lead { font-size: 1.1rem; }
pre {
  background: var(--band); padding: .7rem .9rem; border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: .85rem;
}
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; } td.number, th.number { text-align: right; white-space: nowrap; }
td.setting { color: var(--soft); min-width: 13rem; }
td.run, th.run { min-width: 10rem; max-width: 20rem; overflow-wrap: anywhere; }
td { overflow-wrap: break-word; } td.label { color: var(--soft); white-space: nowrap; overflow-wrap: normal; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2rem; }
figure { margin: 0; break-inside: avoid; } figcaption { font-weight: 600; margin-bottom: .3rem; }
.stack { display: grid; gap: 1rem; align-content: start; } .stack h2 { margin-bottom: 0; }
.stack > h2 + * { margin-top: -.4rem; }
figcaption span { display: block; font-weight: 400; color: var(--soft); font-size: .85rem; }
svg { width: 100%; height: auto; max-width: 36rem; } svg text { fill: var(--ink); }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 2rem; }
mark { background: var(--bad); color: inherit; border-radius: .2rem; padding: 0 .15rem; }
del { background: var(--bad); opacity: .75; border-radius: .2rem; padding: 0 .15rem; }
.swatch {
  display: inline-block; min-width: 1.5em; margin-right: .4em; padding: 0 .3em; border-radius: .2rem;
  text-align: center; color: var(--paper); font-weight: 600;
}
.series-0 { background: var(--series-0); }
.series-1 { background: var(--series-1); }
.series-2 { background: var(--series-2); }
.series-3 { background: var(--series-3); }
.series-4 { background: var(--series-4); }
.series-5 { background: var(--series-5); }
@media print {
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  table { font-size: 8pt; } th, td { padding-right: .4rem; } td.label { white-space: normal; }
  tr, figure { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .figures, .sides { grid-template-columns: 1fr 1fr; gap: .6rem 1rem; } .wide { overflow: visible; }
  mark, del, .swatch { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


class Markup(str):
    """HTML, not to be escaped again."""


def text(value: str) -> Markup:
    """Any text, made harmless; what is Markup stays as it is."""
    return value if isinstance(value, Markup) else Markup(escape(value))


def page(title: str, parts: Iterable[Markup]) -> str:
    """A whole page."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def element(name: str, content: str, kind: str = "") -> Markup:
    """One element; `kind` is its class."""
    attributes = f' class="{kind}"' if kind else ""
    return Markup(f"<{name}{attributes}>{text(content)}</{name}>")


def stack(parts: Iterable[str]) -> Markup:
    """One below another, in one place of a grid."""
    return element("div", Markup("\n".join(text(part) for part in parts)), "stack")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, kinds: Sequence[str]) -> Markup:
    """A table; without columns it has no heading.

    kinds: of each column: "number", "label" (soft, never broken), "setting" and "run" (of even width) or "" (text); the
    last one goes on for those after it.
    """

    def cells(name: str, values: Sequence[str]) -> str:
        each = [kinds[min(i, len(kinds) - 1)] for i in range(len(values))]
        return "<tr>" + "".join(element(name, value, kind) for value, kind in zip(values, each, strict=True)) + "</tr>"

    head = f"<thead>{cells('th', columns)}</thead>" if columns else ""
    body = "\n".join(cells("td", row) for row in rows)
    return Markup(f'<div class="wide"><table>{head}<tbody>\n{body}\n</tbody></table></div>')


def figure(title: str, explanation: str, svg: str) -> Markup:
    """A plot with its title and a line that says how to read it."""
    return Markup(f"<figure><figcaption>{escape(title)}<span>{escape(explanation)}</span></figcaption>{svg}</figure>")


def grid(kind: str, parts: Iterable[Markup]) -> Markup:
    """Side by side where there is room; kind: "figures" or "sides"."""
    return Markup(f'<div class="{kind}">' + "\n".join(parts) + "</div>")
