"""The demonstration: invented letters, reports and guides, two clinicians who own them, and their loading."""
