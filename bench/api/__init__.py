"""The read API next to a bare Starlette route on the same server."""
