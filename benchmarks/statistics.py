"""Does the statistics of ablations keep its promises? Prints what simulated studies of known truth say.

    python benchmarks/statistics.py [--studies 2000]

The studies are in simulated_studies.py. To every other script of this folder, and to the libraries that they
import, `statistics` must stay the standard library's: imported under that name, this file stands aside for it.
"""

import importlib.util
import sys
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    from simulated_studies import main

    main()
elif __name__ == "statistics":
    spec = importlib.util.spec_from_file_location(__name__, Path(sysconfig.get_path("stdlib")) / "statistics.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[__name__] = module
    spec.loader.exec_module(module)
