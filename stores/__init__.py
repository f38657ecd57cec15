"""Everything outside the process, behind the small Protocols of `stores.ports`."""
