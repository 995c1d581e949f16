"""Trials on Ray: a study's decisions carried out, in this process and in those of its trials."""
