"""The authentication service: accounts, sessions, tokens (`auth_db`)."""
