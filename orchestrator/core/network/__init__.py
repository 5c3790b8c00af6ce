"""The way to the network as a user describes it: proxies, and name servers."""
