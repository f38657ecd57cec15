"""The bulk load: a folder becomes documents of one owner, in the low-priority lane; run it again to resume.

ray job submit -- python -m cluster.ingest /ABSOLUTE/FOLDER --owner NAME
"""
