"""A study's results in every format, from one content. `report` is where all begin. Pure."""
