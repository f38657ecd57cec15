"""What every HTTP application shares: the middleware stack, errors as problem+json, callers, cursors."""
