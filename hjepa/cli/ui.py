"""`hjepa-search ui`: MLflow in the browser, on the study's own store."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from hjepa.cli.options import StudyDirectory
from hjepa.overrides import ConfigError

Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")]


def ui(directory: StudyDirectory, port: Port = 5000) -> None:
    """Serve MLflow for a study on this machine only, until Ctrl-C."""
    from hjepa.search.records import StudyRecords
    from hjepa.search.tracking.address import default_uri, own_store

    records = StudyRecords.open(directory)
    store = own_store(records.directory)
    if not store.is_file():
        raise ConfigError([f"{directory}: holds no mlflow.db; it was tracked elsewhere, or has not run yet"])
    typer.echo(f"MLflow: http://127.0.0.1:{port} (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", default_uri(records.directory), "--workers", "1"]
    artifacts = (store.parent / "artifacts").as_uri()
    command += ["--default-artifact-root", artifacts]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(command, env=environment)
    try:
        raise typer.Exit(server.wait())
    except KeyboardInterrupt:
        server.wait(timeout=30)
        raise typer.Exit(0) from None
