"""The aria2c that is installed: its process, its RPC, its options. Knows no job."""
