"""One clear line for a wrong configuration."""

import difflib
from collections.abc import Iterable
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot be used; its text is one line a problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = [_line(text) for text in problems]
        super().__init__("\n".join(self.problems))


#: Longer lines lose their middle: what was given may be of any length.
MAX_LINE = 2000


def _line(text: str) -> str:
    """A text as one line of signs that a terminal shows: whatever a file holds stands in it."""
    if len(text) > MAX_LINE:
        text = f"{text[: MAX_LINE // 2]} ... {text[-MAX_LINE // 2 :]}"
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else ascii(sign)[1:-1] for sign in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the closest known word, or nothing."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""


def shown(value: Any) -> str:
    """A value as it would stand in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def problem(path: str, got: Any, allowed: str, *, hint: str = "", source: str = "") -> str:
    """`path: got X; allowed Y; did you mean Z? (file)`."""
    where = f" ({source})" if source else ""
    return f"{path}: got {shown(got)}; allowed {allowed}{hint}{where}"
