"""The Ray actors: thin shells around `models` and `stores`."""
