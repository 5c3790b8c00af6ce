"""Everything about aria2c: its configuration, its process, its RPC, and the transfer of bytes with it."""
