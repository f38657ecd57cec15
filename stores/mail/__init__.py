"""Mail: a queue in `auth_db`, words from templates, and what hands it over (SMTP server or folder)."""
