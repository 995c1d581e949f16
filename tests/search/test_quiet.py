"""Whatever engines write to stdout and stderr lands in the log, also from C and from child processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hjepa.search.execution.quiet import diverted


def test_all_noise_goes_to_the_log_and_all_messages_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "study" / "driver.log"
    with diverted(log) as terminal:
        print("from python")
        os.write(2, b"from a library\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        terminal.write("for the person\n")
    print("after")
    out, err = capfd.readouterr()
    assert (out, err) == ("after\n", "for the person\n")
    assert set(log.read_text().splitlines()) == {"from python", "from a library", "from a child"}


def test_an_error_leaves_the_streams_as_they_were(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    streams = sys.stdout, sys.stderr
    with pytest.raises(ValueError, match="boom"), diverted(tmp_path / "log"):
        raise ValueError("boom")
    assert (sys.stdout, sys.stderr) == streams
    os.write(1, b"still here\n")
    assert capfd.readouterr().out == "still here\n"
