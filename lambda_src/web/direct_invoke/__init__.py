"""The handlers of `direct-invoke`: a function that books charges once, and a caller that retries."""
