"""The Ray Serve applications, one vertical slice each."""
