"""A page of HTML that needs nothing beside it: text, tables and pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Collection, Sequence

from training.evaluate.report.canvas import one_line

_STYLE = """
:root { color-scheme: light dark; --ink: #222222; --quiet: #666666; --paper: #ffffff; --rule: #d8d8d8;
  --band: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --quiet: #a0a0a0; --paper: #16181c; --rule: #3a3d44; --band: #1f2229; }
}
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 0.5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 0.5rem; }
p { max-width: 50rem; } p, figcaption, caption { color: var(--quiet); overflow-wrap: anywhere; }
a { color: inherit; } nav a { margin-right: 1rem; }
.wide { overflow-x: auto; margin: 0.75rem 0 1.25rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.3rem; }
th, td { padding: 0.25rem 0.7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th:first-child { text-align: left; font-weight: normal; }
thead th, thead th:first-child { font-weight: 600; background: var(--band); }
tr.quoted { color: var(--quiet); font-style: italic; }
figure { margin: 1rem 0; break-inside: avoid; }
figure img { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; }
@media print {
  :root { --ink: #000000; --quiet: #444444; --paper: #ffffff; --rule: #bbbbbb; --band: #ffffff; }
  body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; }
  .wide { overflow: visible; } th, td { padding: 0.15rem 0.35rem; white-space: normal; }
  tr, figure { break-inside: avoid; } h2 { break-after: avoid; }
  figure img { max-height: 23cm; width: auto; }
}
"""
# With it, a browser would fetch nothing even if a name could smuggle in an address.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def text(value: str) -> str:
    """Any text, escaped."""
    return html.escape(one_line(value))


def paragraph(value: str) -> str:
    return f"<p>{text(value)}</p>\n"


def table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    best: Collection[tuple[int, int]] = (),
    quoted: Collection[int] = (),
) -> str:
    """A table whose first column names the rows.

    Args:
        best: row and column of the cells in bold.
        quoted: rows of others.
    """
    body = []
    for number, row in enumerate(rows):
        cells = [f"<b>{text(cell)}</b>" if (number, column) in best else text(cell) for column, cell in enumerate(row)]
        kind = ' class="quoted"' if number in quoted else ""
        body.append(
            f'<tr{kind}><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>'
        )
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    return (
        f'<div class="wide"><table>\n<caption>{text(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
        + "\n".join(body)
        + "\n</tbody></table></div>\n"
    )


def picture(png: bytes, description: str) -> str:
    """A PNG, with a description for those who do not see it."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<figure><img src="{source}" alt="{text(description)}"></figure>\n'


def page(title: str, summary: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole page.

    Args:
        summary: HTML.
        sections: heading and HTML of each.
    """
    links = [f'<a href="#section-{n}">{text(heading)}</a>' for n, (heading, _) in enumerate(sections, 1)]
    parts = [
        f'<section>\n<h2 id="section-{n}">{text(h)}</h2>\n{of}</section>\n' for n, (h, of) in enumerate(sections, 1)
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{text(title)}</h1>\n<nav>{' '.join(links)}</nav>\n{summary}{''.join(parts)}</body>\n</html>\n"
    )
