"""One organization's node: HTTP, storage, keys, command line. The only package that does I/O."""
