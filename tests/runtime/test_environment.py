"""What a run ran on is recorded as plain JSON data."""

import json
import platform

from hjepa.runtime.environment import environment


def test_environment_is_plain_and_names_versions() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["python"] == platform.python_version()
    assert {"torch", "numpy", "hjepa"} <= set(found["versions"])
    assert found["processor"]
