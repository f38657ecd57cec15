"""The composition root: wiring, application builders, local launcher, command line, migrations."""
