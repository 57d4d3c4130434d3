"""The server: answers HTTP over a store.  Its process is `simvue server` (`process.py`)."""
