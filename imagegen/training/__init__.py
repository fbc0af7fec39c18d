"""The scripts that made `assets/models`: `python -m imagegen.training`, resumable, CPU or GPU."""
