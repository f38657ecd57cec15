"""Document management: uploads, versions, lists, downloads, what was read in them, deletion."""
