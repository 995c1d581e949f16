"""A report as a LaTeX fragment: booktabs tables for a paper.

The document that takes it needs the packages booktabs, longtable and array (PREAMBLE).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from hjepa.search.reports import tables as report_tables
from hjepa.search.reports.numbers import Section

PREAMBLE = "\\usepackage{array,booktabs,longtable}"
#: Characters with a meaning of their own, or that pdflatex prints as another.
SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\char34{}",
    "'": "\\char39{}",
    "`": "\\char96{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "-": "-{}",
    "−": "$-$",
    "±": "$\\pm$",
    "×": "$\\times$",
    "≤": "$\\le$",
    "≥": "$\\ge$",
}
#: Columns of prose: they wrap, at this share of the line.
PROSE = {
    "conclusion": 0.26,
    "claimed": 0.12,
    "verdict": 0.3,
    "overrides": 0.36,
    "state": 0.14,
    "aliases": 0.16,
    "field": 0.28,
    "comparison": 0.17,
    "candidate": 0.12,
}
#: What a paper's table leaves out: ids, and what its caption says.
LEFT_OUT = ("trials", "metric")


def latex(found: Mapping[str, Any]) -> str:
    """The report as a fragment that a document takes in."""
    parts = [f"% {_comment(found['title'])}", f"% needs {PREAMBLE}"]
    for number, table in enumerate(_printed(found)):
        caption = f"{found['heading']}. {table.title}."
        parts += ["", *_table(table, caption, f"tab:{_label(found['study'])}-{number + 1}")]
    parts += ["", "\\begin{itemize}", *(f"  \\item {escaped(note)}" for note in found["notes"]), "\\end{itemize}"]
    return "\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX prints it; a letter that plain pdflatex has not becomes its nearest, else `?`."""
    out = []
    for character in re.sub(r"(?<![\w.-])-(?=\d)", "−", text):
        if character in SPECIAL:
            out.append(SPECIAL[character])
        elif character.isascii():
            out.append(character if character.isprintable() else " ")
        else:
            plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
            out.append("".join(SPECIAL.get(letter, letter) for letter in plain) or "?")
    return "".join(out)


def _printed(found: Mapping[str, Any]) -> list[Section]:
    """The tables, those of a comparison's numbers and of its words apart: together they are too wide."""
    printed = []
    for table in report_tables.tables(found):
        if table.title == report_tables.COMPARISONS:
            printed.append(report_tables.without(table, "conclusion", "claimed", "verdict"))
            words = report_tables.without(table, "effect", "95 % interval", "p (Holm)", "seeds", "on test")
            printed.append(Section("Conclusions and claims", words.columns, words.rows))
        else:
            printed.append(report_tables.without(table, *LEFT_OUT))
    return printed


def _table(table: Section, caption: str, label: str) -> list[str]:
    """A table that breaks over pages, with its head on each."""
    head = " & ".join(escaped(name) for name in table.columns) + " \\\\"
    return [
        "{\\footnotesize\\setlength{\\tabcolsep}{4pt}",
        f"\\begin{{longtable}}{{@{{}}{''.join(map(_column, table.columns, _numeric(table)))}@{{}}}}",
        f"\\caption{{{escaped(caption)}}}\\label{{{label}}}\\\\",
        "\\toprule",
        head,
        "\\midrule",
        "\\endfirsthead",
        "\\toprule",
        head,
        "\\midrule",
        "\\endhead",
        "\\bottomrule",
        "\\endlastfoot",
        *(" & ".join(map(_cell, cells)) + " \\\\" for cells in table.rows),
        "\\end{longtable}}",
    ]


def _cell(text: str) -> str:
    """A cell; a long word may break after a dot, an equals sign or an underscore."""
    found = escaped(text)
    for mark in (".", "=", "\\_", "+"):
        found = found.replace(mark, f"{mark}\\allowbreak{{}}") if len(text) > 24 else found
    return found


def _column(name: str, numeric: bool) -> str:
    if name in PROSE:
        return f">{{\\raggedright\\arraybackslash}}p{{{PROSE[name]}\\linewidth}}"
    return "r" if numeric else "l"


def _numeric(table: Section) -> list[bool]:
    """Whether a column's cells begin like numbers."""
    columns: Sequence[Sequence[str]] = list(zip(*table.rows, strict=True))
    return [all(cell[:1] in "+-±<0123456789" for cell in cells if cell) for cells in columns]


def _label(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)


def _comment(text: str) -> str:
    return " ".join(text.split())
