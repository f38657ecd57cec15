"""Administration of accounts: roles, states, departments, treatment relations, emergency access (`auth_db`)."""
