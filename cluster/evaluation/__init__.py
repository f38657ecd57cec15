"""`medsearch evaluate ...`: the models measured on files of one's own, one module an evaluation."""
