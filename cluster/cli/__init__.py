"""The command line `medsearch`."""
