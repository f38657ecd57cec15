"""Search, the query side: two legs over the index, one ranking, access checked twice, answers audited."""
