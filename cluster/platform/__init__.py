"""The local platform: starts Postgres, Redis and Ray, deploys the applications, keeps all alive."""
