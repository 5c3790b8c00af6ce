"""The cache as a server for clients that know HF_ENDPOINT only; starlette and uvicorn are imported here alone."""
