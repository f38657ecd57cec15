"""How good the models are: corpora in the usual formats, and the usual figures. No stores, no HTTP."""
