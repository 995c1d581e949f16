"""Where a study is tracked, and how that is shown: never with credentials."""

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


def own_store(directory: Path) -> Path:
    """The database of a study's own store; that of the study in whose directory it lies, as a confirmation does."""
    directory = directory.absolute()
    return (whole(directory) or directory) / "mlflow.db"


def default_uri(directory: Path) -> str:
    """The study's own store, whatever the working directory."""
    return f"sqlite:///{own_store(directory).as_posix()}"


def whole(directory: Path) -> Path | None:
    """The directory of the study that a study is a part of; None where it stands alone."""
    above = directory.absolute().parent
    return above if (above / "study.yaml").is_file() and (above / "trials").is_dir() else None


def masked(uri: str) -> str:
    """A URI without user, password and query."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc and not parts.query:
        return uri
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def without_credentials(text: str, uri: str = "") -> str:
    """Text in which every `user:password@` and every query of a URI is cut out, and the secrets of `uri` anywhere."""
    text = re.sub(r"(://)(?:[^/\s]+@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?", r"\1\2", text)
    parts = urlsplit(uri)
    for secret in (parts.password, parts.query):
        text = text.replace(secret, "***") if secret else text
    return text
