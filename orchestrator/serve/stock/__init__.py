"""The stock of a server: the repos that it can tell about, and the shelves of the cache on which their blobs lie."""
