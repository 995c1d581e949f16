"""MLflow as a mirror of a study's records, and a study read back from it."""
