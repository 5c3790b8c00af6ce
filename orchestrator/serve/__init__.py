"""The cache as a server for clients of the Hub and of ModelScope; starlette and uvicorn are imported here alone."""
