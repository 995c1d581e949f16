"""`hjepa-search confirm`: the best of a search once more, on seeds that did not choose it."""

from typing import Annotated

import typer

from hjepa.cli.options import Address, StudyDirectory
from hjepa.cli.run import TrackingUri, execute
from hjepa.overrides import ConfigError

Top = Annotated[int | None, typer.Option("--top", help="How many of the best, beside the baseline. [default: 3]")]
Fresh = Annotated[
    int | None,
    typer.Option("--seeds", help="Fresh seeds each; more extend a confirmation that has run. [default: 3]"),
]


def confirm(
    directory: StudyDirectory,
    top: Top = None,
    seeds: Fresh = None,
    address: Address = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Confirm a finished search: its best configurations and the baseline on fresh seeds, then on the test split.

    Nothing is stopped early. The trials go to DIRECTORY/confirm; after an interruption the same command goes on.
    `report` and `export --best` then go by it.
    """
    from hjepa.cli.studies import resources_at
    from hjepa.search.confirmation import confirmation, folder_of
    from hjepa.search.files import read_json
    from hjepa.search.plan import make_plan
    from hjepa.search.records import StudyRecords

    records = StudyRecords.open(directory)
    study = confirmation(records, top, seeds)
    from hjepa.data import fingerprint
    from hjepa.training import check

    study.check(check)
    before = (read_json(directory / "environment.json") or {}).get("data_fingerprint")
    now = fingerprint(study.base.data)
    if before and before != now:
        raise ConfigError(
            [f"{directory}: searched on other data: fingerprint {before[:10]} there, {now[:10]} here; allowed the same"]
        )
    execute(make_plan(study, folder_of(records), resources_at(address)), directory, address, tracking_uri)
