"""Reading the audit trail: `/api/v1/audit`, a part of the application at `/api/v1` (`audit_db`)."""
