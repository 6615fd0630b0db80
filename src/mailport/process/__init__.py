"""What every process of Mailport needs, the listener's and the operator's: log, event loop, HTTP pages, threads."""
