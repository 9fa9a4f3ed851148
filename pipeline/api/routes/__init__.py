"""The routes: from a request to an answer."""
