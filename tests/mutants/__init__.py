"""Small wrongs done to the access code, one at a time: the access tests must notice each (`make mutants`)."""
