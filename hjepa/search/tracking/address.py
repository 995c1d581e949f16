"""Where a study is tracked, and how that is shown: never with credentials."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

#: Variables from which MLflow takes secrets.
VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_URI = re.compile(r"[a-zA-Z][\w+.-]*://[^\s'\"]+")
_HOST = re.compile(r"[^:]*(:\d+)?(/.*)?")


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
    """A URI without user, password, query and fragment; a password may hold `/`, `?`, `#` or `@` as they are."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{_split(rest)[1]}"


def without_credentials(text: str, uri: str = "") -> str:
    """Text in which every URI is masked, and the secrets of `uri` and of MLflow's variables are cut out anywhere."""
    secrets = {*_secrets(uri), *(os.environ.get(name, "") for name in VARIABLES)} - {""}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _URI.sub(lambda found: masked(found[0]), text)


def _split(rest: str) -> tuple[str, str, str]:
    """What follows a URI's `://`: user and password, host and path, query."""
    if rest.startswith("/"):  # a path has no host
        place, _, query = rest.partition("?")
        return "", place, query
    plain = re.split("[?#]", rest)[0]
    if not _HOST.fullmatch(plain.rpartition("@")[2]):  # that was not the query but the middle of a password
        plain = rest
    cut = plain.rfind("@") + 1
    there = re.split("[?#]", rest[cut:], maxsplit=1)
    return rest[:cut].removesuffix("@"), there[0], "".join(there[1:])


def _secrets(uri: str) -> set[str]:
    """The password of a URI, or a user without one, and its query, as they are written and as they are sent."""
    user, _, query = _split(uri.partition("://")[2])
    name, mark, password = user.partition(":")
    found = {password if mark else name, query}
    return {*found, *map(unquote, found)}
