"""Measurements on files of one's own: `medsearch evaluate`."""
