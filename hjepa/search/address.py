"""Where a study is tracked, and how that is shown: never with credentials."""

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


def default_uri(directory: Path) -> str:
    """The study's own store, whatever the working directory."""
    return f"sqlite:///{(directory.absolute() / 'mlflow.db').as_posix()}"


def masked(uri: str) -> str:
    """A URI without user, password and query."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc and not parts.query:
        return uri
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def without_credentials(text: str) -> str:
    """Text in which every `user:password@` of a URI is cut out."""
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)
