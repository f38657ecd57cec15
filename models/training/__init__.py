"""How the shipped weights came to be: `make train-...` runs these again, with fixed seeds."""
